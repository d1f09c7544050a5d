//! `trackbox keys`: makes, lists and revokes API keys, straight in the database.

use anyhow::{Context as _, bail};
use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use strum::VariantArray as _;

use crate::app::parts::{Wanted, open_database};
use crate::clock::{Time, delta};
use crate::config::{Config, Span};
use crate::model::key::ApiKey;
use crate::model::tenant::{Scope, Tenant, TenantCode, name};
use crate::store::Store;
use crate::store::api_keys::{KeyRow, LIVE_KEYS_MAX, NewKey};
use crate::store::tenants::TenantRow;

/// How many rows are read at once.
const PAGE: u32 = 500;

/// What to do with keys.
#[derive(Subcommand)]
pub enum Keys {
    /// Makes a key and prints it to stdout, once. As soon as there is a key, every request needs one.
    Create {
        /// The code of the tenant that it belongs to.
        #[arg(long, value_name = "CODE", default_value = "default")]
        tenant: TenantCode,
        /// What people call it, such as the program that uses it.
        #[arg(long, value_parser = |text: &str| name(text))]
        name: String,
        /// READ: the tenant's parcels. WRITE: also add, edit, remove and refresh them. ADMIN: also the tenant's keys.
        #[arg(long, value_parser = a_scope(), ignore_case = true)]
        scope: Scope,
        /// Also runs the installation: carriers, dead letters, tenants, metrics. For the tenant default alone.
        #[arg(long)]
        operator: bool,
        /// How long it works, such as 90d. Without this option it works until it is revoked.
        #[arg(long, value_name = "TIME")]
        expires: Option<Span>,
        /// The most requests a second, counted in each process.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
        per_second: Option<u16>,
    },
    /// Lists keys, the newest first: of one tenant, or of all.
    List {
        /// The tenant's code.
        #[arg(long, value_name = "CODE")]
        tenant: Option<TenantCode>,
    },
    /// Revokes a key for good, in every process within ten seconds.
    Revoke {
        /// Its number in the list.
        id: i64,
    },
}

fn a_scope() -> impl TypedValueParser<Value = Scope> {
    let names = Scope::VARIANTS.iter().map(<&'static str>::from);
    PossibleValuesParser::new(names).try_map(|text| text.to_uppercase().parse::<Scope>())
}

/// # Errors
/// If the database is away, or there is no such tenant or key.
pub async fn run(config: &Config, command: Keys) -> anyhow::Result<()> {
    let store = migrated(config).await?;
    let done = match command {
        Keys::Create {
            tenant,
            name,
            scope,
            operator,
            expires,
            per_second,
        } => {
            let tenant = find(&store, &tenant).await?;
            if operator && tenant.tenant != Tenant::DEFAULT {
                bail!("--operator is for keys of the tenant default alone");
            }
            let now = store.time().await.context("cannot ask for the time")?;
            let new = NewKey {
                tenant: tenant.tenant,
                key: ApiKey::generate()?,
                name,
                scope,
                is_operator: operator,
                per_second: per_second.unwrap_or(0),
                expires_at: expires.map(|span| now + delta(span.get())),
            };
            create(&store, &tenant, &new, now).await
        }
        Keys::List { tenant } => list(&store, tenant).await,
        Keys::Revoke { id } => revoke(&store, id).await,
    };
    store.close().await;
    done
}

/// Opens the database and brings its tables up to date, so that a key can be made before the first start.
pub async fn migrated(config: &Config) -> anyhow::Result<Store> {
    let store = open_database(config, Wanted::BY_A_COMMAND).await?.store();
    store.migrate().await?;
    Ok(store)
}

async fn find(store: &Store, code: &TenantCode) -> anyhow::Result<TenantRow> {
    let found = store.tenant(code).await.context("cannot look up tenants")?;
    found.with_context(|| {
        format!("there is no tenant {code}; `trackbox tenants create {code}` makes it")
    })
}

/// All tenants.
pub async fn tenants(store: &Store) -> anyhow::Result<Vec<TenantRow>> {
    let mut all: Vec<TenantRow> = Vec::new();
    loop {
        let after = all.last().map(|row| i64::from(row.tenant.id()));
        let page = store.tenants(after, PAGE).await;
        let page = page.context("cannot list tenants")?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

async fn create(store: &Store, tenant: &TenantRow, new: &NewKey, now: Time) -> anyhow::Result<()> {
    let is_first = !store.had_a_key().await?;
    let row = store.add_key(new, None, now).await?;
    let row = row.with_context(|| {
        format!(
            "the tenant {} has {LIVE_KEYS_MAX} keys in force: revoke one first",
            tenant.code
        )
    })?;
    eprintln!(
        "key {} of tenant {}, scope {}{}; it is shown only now, keep it in a safe place:",
        row.id,
        tenant.code,
        row.scope,
        if row.is_operator { ", operator" } else { "" }
    );
    println!("{}", new.key.expose());
    if is_first {
        eprintln!("this is the first key: within ten seconds every request needs one");
    }
    if is_first && !row.is_operator {
        eprintln!(
            "it is no operator's: for carriers, dead letters, metrics and tenants make another with --operator"
        );
    }
    Ok(())
}

async fn list(store: &Store, code: Option<TenantCode>) -> anyhow::Result<()> {
    let tenants = match code {
        Some(code) => vec![find(store, &code).await?],
        None => tenants(store).await?,
    };
    println!(
        "{:>6}  {:<12} {:<8}  {:<5} {:<8}  {:<24} name",
        "id", "tenant", "begins", "scope", "operator", "state"
    );
    for tenant in tenants {
        let mut before = None;
        loop {
            let page = store.keys(tenant.tenant, before, PAGE).await;
            let page = page.context("cannot list keys")?;
            let Some(last) = page.last() else {
                break;
            };
            before = Some(last.id);
            for row in &page {
                println!("{}", line(&tenant, row));
            }
        }
    }
    Ok(())
}

fn line(tenant: &TenantRow, row: &KeyRow) -> String {
    let date = |at: Time| at.format("%Y-%m-%d %H:%M").to_string();
    let state = match (row.revoked_at, row.expires_at) {
        (Some(at), _) => format!("revoked {}", date(at)),
        (None, Some(at)) => format!("expires {}", date(at)),
        (None, None) => "in force".to_owned(),
    };
    let operator = if row.is_operator { "yes" } else { "" };
    format!(
        "{:>6}  {:<12} {:<8}  {:<5} {operator:<8}  {state:<24} {}",
        row.id,
        tenant.code,
        row.hint,
        row.scope.to_string(),
        row.name
    )
}

async fn revoke(store: &Store, id: i64) -> anyhow::Result<()> {
    let now = store.time().await.context("cannot ask for the time")?;
    for tenant in tenants(store).await? {
        let revoked = store.revoke_key(tenant.tenant, id, None, now).await;
        if let Some(row) = revoked.context("cannot revoke the key")? {
            println!(
                "key {id} of tenant {} ({}) is revoked; within ten seconds every process refuses it",
                tenant.code, row.name
            );
            return Ok(());
        }
    }
    bail!("there is no key {id}; `trackbox keys list` shows all")
}
