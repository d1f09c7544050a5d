//! The program as a command that ends.

use std::path::Path;
use std::process::Command;

/// Runs the program with `config.toml` of `folder`, and returns what it prints. It has to succeed.
pub fn trackbox(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_trackbox"))
        .current_dir(folder)
        .args(["--config", "config.toml"])
        .args(arguments)
        .output()
        .expect("runs");
    let (out, errors) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    assert!(output.status.success(), "{out}\n{errors}");
    out
}
