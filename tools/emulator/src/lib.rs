//! Emulates the carriers' tracking APIs, with limits, faults, a ledger of calls, and the truth to judge a tracker by.
//!
//! [`emulator`] holds the parcels: [`scenario`] describes one, [`journeys`] and [`route`] invent its steps, [`moving`] decides what has
//! happened to it, and [`truth`] is how that is shown. [`ledger`] counts calls, [`oauth`] gives tokens, [`tickets`] are answered
//! later, [`faults`] spoil answers, [`pushes`] are sent unasked, [`http`] is the API and [`serve`] puts it on a port. All time
//! comes from [`time`], so that a test can move it by hand.

pub mod chance;
pub mod emulator;
pub mod faults;
pub mod http;
pub mod journeys;
pub mod ledger;
pub mod moving;
pub mod oauth;
pub mod options;
pub mod pushes;
pub mod route;
pub mod scenario;
pub mod serve;
pub mod tickets;
pub mod time;
pub mod truth;
