//! What the tests stand on. A test file imports from here, never from another test file.

pub mod archived;
pub mod bus;
pub mod carriers;
pub mod command;
pub mod consumers;
pub mod engines;
pub mod fixture;
pub mod fleet;
pub mod follower;
pub mod large;
pub mod limits;
pub mod messages;
pub mod pipe;
pub mod prices;
pub mod process;
pub mod reader;
pub mod scripted;
pub mod time;
pub mod truth;
pub mod wire;
