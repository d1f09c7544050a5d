//! `trackbox tenants`: makes, lists, limits, weighs, disables and enables tenants, straight in the database.

use anyhow::Context as _;
use clap::Subcommand;

use crate::commands::keys::{migrated, tenants};
use crate::config::Config;
use crate::model::tenant::{TenantCode, WEIGHT_MAX, name};
use crate::store::Store;
use crate::store::tenants::TenantEdit;

/// What to do with tenants.
#[derive(Subcommand)]
pub enum Tenants {
    /// Makes a tenant.
    Create {
        /// 1 to 40 of the characters a-z, 0-9 and -.
        code: TenantCode,
        /// What people call it; without this option its code.
        #[arg(long, value_parser = |text: &str| name(text))]
        name: Option<String>,
        /// The most parcels that it may have, archived ones included; without this option no limit.
        #[arg(long)]
        parcels_max: Option<u32>,
    },
    /// Lists the tenants, the oldest first.
    List,
    /// Limits how many parcels a tenant may have; it keeps what it has beyond.
    Limit {
        code: TenantCode,
        /// The most parcels, archived ones included; without this option no limit.
        #[arg(long)]
        parcels_max: Option<u32>,
    },
    /// Sets a tenant's share of an account's calls beside the other tenants', while several want them.
    Weight {
        code: TenantCode,
        /// 1, as for a new tenant, to 1000.
        #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(WEIGHT_MAX)))]
        weight: u32,
    },
    /// Has all keys of a tenant refused, in every process within ten seconds. Its parcels stay and are checked on.
    Disable { code: TenantCode },
    /// Has the keys of a disabled tenant work again.
    Enable { code: TenantCode },
}

/// # Errors
/// If the database is away, or a tenant is missing or there already.
pub async fn run(config: &Config, command: Tenants) -> anyhow::Result<()> {
    let store = migrated(config).await?;
    let done = match command {
        Tenants::Create {
            code,
            name,
            parcels_max,
        } => create(&store, &code, name, parcels_max).await,
        Tenants::Limit { code, parcels_max } => limit(&store, &code, parcels_max).await,
        Tenants::Weight { code, weight } => weigh(&store, &code, weight).await,
        Tenants::List => list(&store).await,
        Tenants::Disable { code } => match code.may_be_disabled() {
            Ok(()) => set_disabled(&store, &code, true).await,
            Err(why) => Err(anyhow::Error::msg(why)),
        },
        Tenants::Enable { code } => set_disabled(&store, &code, false).await,
    };
    store.close().await;
    done
}

async fn create(
    store: &Store,
    code: &TenantCode,
    name: Option<String>,
    parcels_max: Option<u32>,
) -> anyhow::Result<()> {
    let now = store.time().await.context("cannot ask for the time")?;
    let name = name.unwrap_or_else(|| code.to_string());
    let made = store
        .create_tenant(code, &name, parcels_max, None, now)
        .await;
    made.context("cannot make the tenant")?
        .with_context(|| format!("there is a tenant {code} already"))?;
    println!(
        "tenant {code} is made; `trackbox keys create --tenant {code} --name NAME --scope ADMIN` makes its first key"
    );
    Ok(())
}

async fn list(store: &Store) -> anyhow::Result<()> {
    for row in tenants(store).await? {
        let state = row.disabled_at.map_or_else(
            || "enabled".to_owned(),
            |at| format!("disabled {}", at.format("%Y-%m-%d %H:%M")),
        );
        let limit = row.parcels_max.map_or_else(
            || "no limit".to_owned(),
            |max| format!("at most {max} parcels"),
        );
        println!(
            "{:<40}  {state:<25}  {limit:<26}  weight {:<4}  {}",
            row.code, row.weight, row.name
        );
    }
    Ok(())
}

async fn set_disabled(store: &Store, code: &TenantCode, disabled: bool) -> anyhow::Result<()> {
    let edit = TenantEdit {
        disabled: Some(disabled),
        ..TenantEdit::default()
    };
    change(store, code, edit).await?;
    if disabled {
        println!("tenant {code} is disabled; within ten seconds every process refuses its keys");
    } else {
        println!("tenant {code} is enabled");
    }
    Ok(())
}

async fn limit(store: &Store, code: &TenantCode, parcels_max: Option<u32>) -> anyhow::Result<()> {
    let edit = TenantEdit {
        parcels_max: Some(parcels_max),
        ..TenantEdit::default()
    };
    change(store, code, edit).await?;
    match parcels_max {
        Some(max) => println!("tenant {code} may have at most {max} parcels"),
        None => println!("tenant {code} may have as many parcels as it likes"),
    }
    Ok(())
}

async fn weigh(store: &Store, code: &TenantCode, weight: u32) -> anyhow::Result<()> {
    let edit = TenantEdit {
        weight: Some(weight),
        ..TenantEdit::default()
    };
    change(store, code, edit).await?;
    println!("tenant {code} has the weight {weight} from now on");
    Ok(())
}

async fn change(store: &Store, code: &TenantCode, edit: TenantEdit) -> anyhow::Result<()> {
    let now = store.time().await.context("cannot ask for the time")?;
    let changed = store.change_tenant(code, edit, None, now).await;
    changed
        .context("cannot change the tenant")?
        .with_context(|| format!("there is no tenant {code}; `trackbox tenants list` shows all"))?;
    Ok(())
}
