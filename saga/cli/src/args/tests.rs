use std::collections::BTreeSet;

use bootstrap::config::OF_THE_COMMAND;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' '))
}

#[test]
fn the_command_line_is_consistent() {
    bootstrap::config::command::<Cli>().debug_assert();
}

#[test]
fn completions_know_what_every_process_has() {
    let mut script = Vec::new();
    let mut command = bootstrap::config::command::<Cli>();
    clap_complete::generate(clap_complete::Shell::Bash, &mut command, "saga", &mut script);
    let script = String::from_utf8(script).unwrap();
    assert!(script.contains("--config") && script.contains("saga__subcmd__config"), "{script}");
}

#[test]
fn what_only_this_command_reads_is_known_to_every_process() {
    fn variables(command: &clap::Command) -> BTreeSet<String> {
        let own = command.get_arguments().filter_map(|arg| arg.get_env()?.to_str());
        let own = own.filter(|name| name.starts_with("SAGA_")).map(str::to_owned);
        own.chain(command.get_subcommands().flat_map(variables)).collect()
    }
    fn check(service: clap::Command) {
        let read_there = variables(&service);
        for name in variables(&bootstrap::config::command::<Cli>()) {
            let is_of_the_command = OF_THE_COMMAND.contains(&name.as_str());
            assert_ne!(is_of_the_command, read_there.contains(&name), "{name}");
        }
    }
    check(bootstrap::config::command::<saga_coordinator::Config>());
    check(bootstrap::config::command::<order_service::Config>());
    check(bootstrap::config::command::<inventory_service::Config>());
    check(bootstrap::config::command::<payment_service::Config>());
    let here = variables(&bootstrap::config::command::<Cli>());
    assert!(OF_THE_COMMAND.iter().all(|name| here.contains(*name)), "{here:?}");
}

#[test]
fn every_command_has_examples() {
    fn check(command: &clap::Command) {
        for command in command.get_subcommands() {
            if command.has_subcommands() {
                check(command);
            } else {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("Examples:"), "{} has no examples", command.get_name());
            }
        }
    }
    check(&bootstrap::config::command::<Cli>());
}

#[test]
fn shared_flags_stand_before_and_after_the_command() {
    for line in ["saga -o json --port-base 7200 status", "saga status -o json --port-base 7200"] {
        let cli = parse(line).unwrap();
        assert_eq!((cli.global.output, cli.global.place.port_base), (Format::Json, Some(7_200)));
    }
}

#[test]
fn addresses_have_a_host_and_a_port() {
    assert!(parse("saga --order shop.example:7101 status").is_ok());
    for wrong in ["7101", ":7101", "host:", "host:0", "http://host:7101", "host:99999"] {
        assert!(parse(&format!("saga --order {wrong} status")).is_err(), "{wrong}");
    }
}

#[test]
fn the_four_ports_must_exist() {
    assert!(parse("saga --port-base 65531 up").is_err());
}

#[test]
fn a_bench_is_either_paced_or_saturating() {
    assert!(parse("saga bench --rate 10").is_ok());
    assert!(parse("saga bench --max --decline 5%").is_ok());
    assert!(parse("saga bench --max --warmup 0s").is_ok());
    assert!(parse("saga bench --max --duration 0s").is_err());
    assert!(parse("saga bench --max --rate 10").is_err());
    assert!(parse("saga bench").is_err());
}

#[test]
fn fresh_data_needs_servers_of_our_own() {
    assert!(parse("saga up --fresh").is_ok());
    assert!(parse("saga up --fresh --kafka 127.0.0.1:9092").is_err());
}
