//! Emulates the carriers' tracking APIs, with limits, faults, a ledger of calls, and the truth to judge a tracker by.
//!
//! [`emulator`] holds the parcels, [`moving`] decides what has happened to one; [`ledger`] counts calls; [`faults`] says how an
//! answer goes wrong; [`http`] speaks. All time comes from [`time`], so that a test can move it by hand.

pub mod emulator;
pub mod faults;
pub mod http;
pub mod journeys;
pub mod ledger;
pub mod moving;
pub mod options;
pub mod scenario;
pub mod serve;
pub mod time;
