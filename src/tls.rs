//! Which certificates the encrypted connections to carriers, Kafka and Redis trust.

use std::path::Path;

use anyhow::{Context as _, ensure};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// Trusts the machine's certificates, and those of the PEM file `ca_file` unless that is empty.
///
/// # Errors
/// If the file cannot be read or holds no certificate, or if no certificate at all would be trusted.
pub fn client_config(ca_file: &str) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    // A machine may have certificates that cannot be read; the others are still good.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if !ca_file.is_empty() {
        let certificates = CertificateDer::pem_file_iter(Path::new(ca_file))
            .and_then(|found| found.collect::<Result<Vec<_>, _>>())
            .with_context(|| format!("cannot read the certificates in {ca_file} (tls.ca_file)"))?;
        ensure!(
            !certificates.is_empty(),
            "{ca_file} holds no certificate (tls.ca_file): give a PEM file"
        );
        for certificate in certificates {
            roots.add(certificate).with_context(|| {
                format!("cannot trust a certificate in {ca_file} (tls.ca_file)")
            })?;
        }
    }
    ensure!(
        !roots.is_empty(),
        "this machine trusts no certificates: install ca-certificates, or name a PEM file in tls.ca_file"
    );
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::client_config;

    #[test]
    fn a_file_without_certificates_is_refused_by_its_name_and_key() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, "no certificate").expect("writes");
        let error = client_config(&file.display().to_string()).expect_err("is no certificate");
        assert!(format!("{error:#}").contains("tls.ca_file"), "{error:#}");
        let error = client_config("/no/such/file").expect_err("is not there");
        assert!(format!("{error:#}").contains("/no/such/file"), "{error:#}");
    }
}
