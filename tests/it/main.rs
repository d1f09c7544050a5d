//! The promises, tested from outside: one integration binary.

mod budget;
mod bus;
mod claims;
mod consumer;
mod dead_letters;
mod faults;
mod fixture;
mod house;
mod kafka;
mod large;
mod learned;
mod migrate;
mod partitions;
mod pipe;
mod plans;
mod policy;
mod postgres;
mod private;
mod process;
mod roles;
mod set;
mod store;
mod truth;
