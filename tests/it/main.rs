//! The promises, tested from outside: one integration binary.

mod support;

mod accounts;
mod apply;
mod arrival;
mod backlog;
mod broker;
mod budget;
mod bus;
mod claims;
mod consumer;
mod consumer_on_kafka;
mod corrupt;
mod counts;
mod dead_letters;
mod documents;
mod events;
mod failures;
mod fair;
mod faults;
mod house;
mod learned;
mod lock;
mod migrate;
mod partitions;
mod permits;
mod plans;
mod policy;
mod postgres;
mod prices;
mod process;
mod roles;
mod set;
mod trackings;
mod upgrade;
mod upgrade_store;
