//! What is in force by default, as TOML.

/// The defaults. The keys that a preset sets are commented out in it.
pub const SHIPPED: &str = include_str!("../../config.toml");

/// The preset `normal`.
pub const NORMAL: &str = include_str!("normal.toml");

/// The preset `demo`.
pub const DEMO: &str = include_str!("demo.toml");
