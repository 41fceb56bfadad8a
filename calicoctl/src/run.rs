//! From the command line to the command.

use std::process::ExitCode;

use calico_datastore::Datastore;

use crate::cli::{Cli, ClusterCommand, Command, DatastoreCommand, Global, IpamCommand, MigrateCommand, NodeCommand};
use crate::commands::{delete, get, label, patch, store, validate};
use crate::console::Console;
use crate::error::Error;
use crate::ipam::check::CheckOutcome;
use crate::session::Session;
use crate::{config, diags, documents, ipam, node, objects, version};

/// What `ipam check --exit-code` exits with where there are problems.
const PROBLEMS: u8 = 3;

/// The levels that may be given.
const LEVELS: [&str; 6] = ["panic", "fatal", "error", "warn", "info", "debug"];

/// Runs a command.
pub async fn run(cli: &Cli, console: &Console) -> Result<ExitCode, Error> {
    let level = cli.global.log_level.to_lowercase();
    if !LEVELS.contains(&level.as_str()) {
        let levels = LEVELS.join(", ");
        return Err(Error::new(format_args!("unknown log level: {}, expected one of: {levels}", cli.global.log_level)));
    }
    let Some(command) = &cli.command else { return Ok(ExitCode::SUCCESS) };
    match command {
        Command::Validate(files) => validate::run(console, files),
        Command::Node(NodeCommand::Status) => node::status::run(console),
        Command::Node(NodeCommand::Checksystem(arguments)) => node::checksystem::run(console, arguments),
        Command::Node(NodeCommand::Timings(arguments)) => node::timings::run(console, arguments),
        Command::Cluster(ClusterCommand::Diags(arguments)) => {
            diags::run(console, arguments, cli.global.context.as_deref())
        }
        Command::Version(arguments) => version::run(console, &cli.global, arguments).await,
        Command::Completion(arguments) => {
            let script = documents::completion(arguments.shell, "calicoctl");
            console.data(&String::from_utf8_lossy(&script))
        }
        Command::Man => console.data(&String::from_utf8_lossy(&documents::manual()?)),
        Command::Markdown => console.data(&documents::markdown()),
        // Mistakes in files are found before anything is opened, let alone made.
        Command::Create(arguments) => return store_all(&cli.global, console, store::create(arguments)?, &level).await,
        Command::Apply(arguments) => return store_all(&cli.global, console, store::apply(arguments)?, &level).await,
        Command::Replace(arguments) => {
            return store_all(&cli.global, console, store::replace(arguments)?, &level).await;
        }
        on_datastore => return with_datastore(&cli.global, console, on_datastore, &level).await,
    }
    .map(|()| ExitCode::SUCCESS)
}

/// Opens the datastore for a command. One that writes may make an embedded store.
async fn open(global: &Global, console: &Console, may_create: bool, level: &str) -> Result<Session, Error> {
    let session = Session::open(config::read(global)?, global.timeout, may_create).await?;
    if ["info", "debug"].contains(&level) {
        console.note(format_args!("the datastore is {}", session.raw().name()));
    }
    version::check(&session, global).await?;
    Ok(session)
}

async fn store_all(
    global: &Global,
    console: &Console,
    order: Option<store::Order>,
    level: &str,
) -> Result<ExitCode, Error> {
    match order {
        None => console.line("No resources specified"),
        Some(order) => store::carry_out(&open(global, console, true, level).await?, console, order).await,
    }
    .map(|()| ExitCode::SUCCESS)
}

/// The other commands that need a datastore.
async fn with_datastore(global: &Global, console: &Console, command: &Command, level: &str) -> Result<ExitCode, Error> {
    let may_create = matches!(command, Command::Datastore(_) | Command::Ipam(IpamCommand::Configure(_)));
    let session = &open(global, console, may_create, level).await?;
    match command {
        Command::Delete(arguments) => delete::run(session, console, arguments).await,
        Command::Get(arguments) => get::run(session, console, arguments).await,
        Command::Patch(arguments) => patch::run(session, console, arguments).await,
        Command::Label(arguments) => label::run(session, console, arguments).await,
        Command::Datastore(DatastoreCommand::Migrate(MigrateCommand::Lock)) => {
            objects::set_ready(session, false).await?;
            console.line("Datastore locked.")
        }
        Command::Datastore(DatastoreCommand::Migrate(MigrateCommand::Unlock)) => {
            objects::set_ready(session, true).await?;
            console.line("Datastore unlocked.")
        }
        Command::Ipam(command) => return on_addresses(session, console, command).await,
        _ => Ok(()),
    }
    .map(|()| ExitCode::SUCCESS)
}

async fn on_addresses(session: &Session, console: &Console, command: &IpamCommand) -> Result<ExitCode, Error> {
    match command {
        IpamCommand::Show(arguments) => ipam::show::run(session, console, arguments).await,
        IpamCommand::Configure(arguments) => ipam::configure::run(session, console, arguments).await,
        IpamCommand::Split(arguments) => ipam::split::run(session, console, arguments).await,
        IpamCommand::Explain(arguments) => ipam::explain::run(session, console, arguments).await,
        IpamCommand::Release(arguments) => match (&arguments.ip, arguments.from_report.is_empty()) {
            (Some(_), true) => ipam::release_ip::run(session, console, arguments).await,
            (None, false) => ipam::release_report::run(session, console, &arguments.from_report, arguments.force).await,
            (Some(_), false) => Err(Error::new("give either --ip or --from-report, not both")),
            (None, true) => Err(Error::new("give --ip, or --from-report with a file that `ipam check -o` wrote")),
        },
        IpamCommand::Check(arguments) => {
            return Ok(match ipam::check::run(session, console, arguments).await? {
                CheckOutcome::Problems(_) if arguments.exit_code => ExitCode::from(PROBLEMS),
                CheckOutcome::Problems(_) | CheckOutcome::Sound => ExitCode::SUCCESS,
            });
        }
    }
    .map(|()| ExitCode::SUCCESS)
}
