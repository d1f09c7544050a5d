//! What the carrier said of people is not for everybody who knows a number.
//!
//! The names in the facts and the carrier's own records of events are shown to a tenant that the carrier's section names, or for
//! whose postal code or the like the carrier answered, and where there is one tenant alone.

use std::collections::HashSet;

use crate::http::Serve;
use crate::model::shown::Shown;
use crate::serving::caller::Caller;
use crate::store::error::StoreError;

/// Those of the caller's trackings of which it is shown all that the carrier said.
pub async fn open_to(
    serve: &Serve,
    caller: &Caller,
    ids: impl Iterator<Item = i64>,
) -> Result<HashSet<i64>, StoreError> {
    if caller.is_alone {
        return Ok(ids.collect());
    }
    let ids: Vec<i64> = ids.collect();
    let askings = serve.store.askings(caller.tenant, &ids).await?;
    let open = askings.into_iter().filter(|asking| {
        let route = serve.routes.resolve(&asking.carrier_code);
        route.is_some_and(|route| {
            let is_named = route.tenants.is_some() && route.serves(&caller.shop);
            is_named || asking.is_told(route.adapter.wants())
        })
    });
    Ok(open.map(|asking| asking.tracking_id).collect())
}

/// Takes the names of people out of what the caller is shown, where they are not for it. Mostly there are none, and nothing is
/// asked of the database.
pub async fn hide_names<'a>(
    serve: &Serve,
    caller: &Caller,
    shown: impl Iterator<Item = &'a mut Shown>,
) -> Result<(), StoreError> {
    if caller.is_alone {
        return Ok(());
    }
    let named: Vec<&mut Shown> = shown.filter(|shown| shown.has_names()).collect();
    if named.is_empty() {
        return Ok(());
    }
    let open = open_to(serve, caller, named.iter().map(|shown| shown.id)).await?;
    for shown in named {
        if !open.contains(&shown.id) {
            *shown = shown.without_names();
        }
    }
    Ok(())
}
