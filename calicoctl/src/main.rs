//! The executable `calicoctl`, also usable as `kubectl calico`.

use std::process::ExitCode;

fn main() -> ExitCode {
    calicoctl::main(std::env::args_os())
}
