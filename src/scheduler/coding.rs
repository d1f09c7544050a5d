//! Undoes the compression of a carrier's answer. Some servers compress without being asked to.

use std::io::Read;

use axum::body::Bytes;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use hyper::HeaderMap;
use hyper::header::CONTENT_ENCODING;

use crate::scheduler::connections::WireError;

/// The most characters of an unknown coding's name that an error shows.
const SHOWN_CHARS_MAX: usize = 40;

/// The body as it was before it was compressed, at most `bytes_max` bytes, however small it arrived.
///
/// # Errors
/// [`WireError::TooLong`], or [`WireError::Coding`] if it is compressed in another way than by gzip or deflate, or is
/// not what its header says.
pub fn decoded(headers: &HeaderMap, body: Bytes, bytes_max: usize) -> Result<Bytes, WireError> {
    let values = headers.get_all(CONTENT_ENCODING).iter();
    let names: Vec<String> = values
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(|name| String::from_utf8_lossy(name).trim().to_ascii_lowercase())
        .filter(|name| !name.is_empty() && name != "identity")
        .collect();
    let names = names.join(", ");
    match names.as_str() {
        "" => Ok(body),
        _ if body.is_empty() => Ok(body),
        "gzip" | "x-gzip" => inflated(MultiGzDecoder::new(&body[..]), "gzip", bytes_max),
        // The name means zlib's form, but some servers send the bare one.
        "deflate" if is_zlib(&body) => inflated(ZlibDecoder::new(&body[..]), "zlib", bytes_max),
        "deflate" => inflated(DeflateDecoder::new(&body[..]), "deflate", bytes_max),
        other => {
            let name: String = other.chars().take(SHOWN_CHARS_MAX).collect();
            let why = format!("it is compressed as {name:?}, and only gzip and deflate are known");
            Err(WireError::Coding(why))
        }
    }
}

/// Whether bytes begin as zlib's do: RFC 1950, section 2.2.
fn is_zlib(body: &[u8]) -> bool {
    let check = |head: &[u8]| u16::from_be_bytes([head[0], head[1]]) % 31;
    body.len() >= 2 && body[0] & 0x0F == 8 && check(body) == 0
}

fn inflated(decoder: impl Read, name: &str, bytes_max: usize) -> Result<Bytes, WireError> {
    let mut bytes = Vec::new();
    let read = decoder
        .take((bytes_max as u64).saturating_add(1))
        .read_to_end(&mut bytes);
    match read {
        Ok(_) if bytes.len() > bytes_max => Err(WireError::TooLong(bytes_max)),
        Ok(_) => Ok(bytes.into()),
        Err(error) => {
            let why = format!("its header says that it is compressed as {name}, but {error}");
            Err(WireError::Coding(why))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use axum::body::Bytes;
    use flate2::Compression;
    use flate2::read::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use hyper::HeaderMap;
    use hyper::header::{CONTENT_ENCODING, HeaderValue};
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::decoded;

    const BYTES_MAX: usize = 1_000;

    fn read(coding: &str, body: &[u8]) -> Result<Vec<u8>, String> {
        let mut headers = HeaderMap::new();
        let coding = HeaderValue::from_str(coding).expect("is a header");
        headers.insert(CONTENT_ENCODING, coding);
        let read = decoded(&headers, Bytes::copy_from_slice(body), BYTES_MAX);
        read.map(|body| body.to_vec())
            .map_err(|error| error.to_string())
    }

    /// The same body as gzip, zlib and bare deflate.
    fn compressed(body: &[u8]) -> [(&'static str, Vec<u8>); 3] {
        let (mut gzip, mut zlib, mut bare) = (Vec::new(), Vec::new(), Vec::new());
        let level = Compression::default();
        GzEncoder::new(body, level)
            .read_to_end(&mut gzip)
            .expect("compresses");
        ZlibEncoder::new(body, level)
            .read_to_end(&mut zlib)
            .expect("compresses");
        DeflateEncoder::new(body, level)
            .read_to_end(&mut bare)
            .expect("compresses");
        [("gzip", gzip), ("deflate", zlib), ("deflate", bare)]
    }

    #[test]
    fn a_compressed_answer_is_read_up_to_the_limit_of_any_answer() {
        let (fits, long) = (vec![b'x'; BYTES_MAX], vec![b'x'; 100 * BYTES_MAX]);
        for (coding, body) in compressed(&fits) {
            assert_eq!(read(coding, &body), Ok(fits.clone()));
        }
        for (coding, body) in compressed(&long) {
            let error = "the answer has more than 1000 bytes";
            assert_eq!(read(coding, &body), Err(error.to_owned()));
        }
    }

    #[test]
    fn other_codings_and_broken_ones_are_told() {
        let gzip = &compressed(b"hi")[0].1;
        for (coding, body, part) in [
            ("br", &b"hi"[..], "compressed as \"br\""),
            ("gzip, gzip", gzip, "compressed as \"gzip, gzip\""),
            ("gzip", b"{}", "compressed as gzip, but"),
            ("gzip", &gzip[..gzip.len() - 3], "compressed as gzip, but"),
            ("deflate", b"{}", "compressed as deflate, but"),
        ] {
            let error = read(coding, body).expect_err(coding);
            assert!(error.contains(part), "{error}");
        }
        for coding in ["identity", "", " , Identity"] {
            assert_eq!(read(coding, b"hi"), Ok(b"hi".to_vec()));
        }
        assert_eq!(read(" GZip", gzip), Ok(b"hi".to_vec()));
        assert_eq!(read("gzip", b""), Ok(Vec::new()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_told(body in prop::collection::vec(any::<u8>(), 0..300), coding in "[ -~]{0,10}") {
            for coding in ["gzip", "deflate", &coding] {
                prop_assert!(read(coding, &body).map_or(true, |read| read.len() <= BYTES_MAX));
            }
            for (coding, compressed) in compressed(&body) {
                prop_assert_eq!(read(coding, &compressed), Ok(body.clone()));
            }
        }
    }
}
