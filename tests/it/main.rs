//! The promises, tested from outside: one integration binary.

mod consumer;
mod fixture;
mod pipe;
mod process;
mod store;
mod truth;
