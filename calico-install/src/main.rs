//! The executable `calico-install`.

use std::process::ExitCode;

fn main() -> ExitCode {
    calico_install::main(std::env::args_os().skip(1))
}
