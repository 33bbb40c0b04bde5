//! What help and documents advertise is there and does something: every variable, flag and default.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use abide_server::config::SETTINGS;

use crate::bench::Bench;

/// A value of each setting that isn't its default.
const SAMPLES: &[(&str, &str)] = &[
    ("listen", "127.0.0.1:9"),
    ("data", "elsewhere"),
    ("ephemeral", "true"),
    ("database", "postgres://ann@db.example/jobs"),
    ("schema", "other"),
    ("node", "n7"),
    ("cluster-listen", "127.0.0.1:7"),
    ("cluster-advertise", "n7.example:7"),
    ("lease", "7s"),
    ("lead", "never"),
    ("seal-key-file", "seal-key"),
    ("ready-file", "url"),
    ("tls-cert", "cert.pem"),
    ("tls-key", "key.pem"),
    ("api-key", "ann:admin:a-secret-of-20-chars"),
    ("api-key-file", "keys"),
    ("allow-anonymous", "true"),
    ("allow-host", "jobs.example.com"),
    ("cors-origin", "https://example.com"),
    ("trusted-proxy", "10.0.0.0/8"),
    ("dialects", "none"),
    ("directives", "off"),
    ("stored-bytes-max", "7777777"),
    ("stored-bytes-per-owner", "777777"),
    ("inflight-bytes-max", "7777777"),
    ("inflight-bytes-per-owner", "777777"),
    ("upload-max", "77777"),
    ("rate-limit", "10/s"),
    ("hold-max", "7s"),
    ("waits-per-client", "7"),
    ("waits-max", "7"),
    ("streams-per-client", "7"),
    ("streams-max", "7"),
    ("connections-max", "7"),
    ("jobs-max", "7"),
    ("retention", "7m"),
    ("webhook-allow", "10.0.0.0/8"),
    ("webhook-retry", "0s,7s"),
    ("seed", "7"),
    ("clock", "manual"),
    ("speed", "7"),
    ("duration", "7s"),
    ("min-delay", "7s"),
    ("max-delay", "70s"),
    ("error-chance", "0.7"),
    ("scenario", "flaky"),
    ("default-job-start", "first-poll"),
    ("default-job-reset", "7s"),
    ("default-job-delay", "7s"),
    ("requests-kept", "7"),
    ("drain", "7s"),
    ("log", "error"),
    ("log-format", "json"),
];

/// What goes with a setting that can't be set alone.
const TOGETHER: &[(&str, &str)] = &[
    ("tls-cert", "--tls-key=key.pem"),
    ("tls-key", "--tls-cert=cert.pem"),
    ("seal-key-file", "--database=postgres://ann@db.example/jobs"),
];

/// Flags in documents that belong to other programs.
const OTHERS_FLAGS: &[&str] = &[
    "all-features",
    "all-targets",
    "bin",
    "cask",
    "env-file",
    "example",
    "features",
    "help",
    "locked",
    "no-buffer",
    "no-run",
    "package",
    "path",
    "profile",
    "publish",
    "release",
    "retry",
    "rm",
    "test-threads",
    "version",
    "workspace",
    "write-out",
    "now",
    "user",
];

/// Every command, and its help with that of the commands below it.
fn helps(bench: &Bench) -> BTreeMap<String, String> {
    let fish = bench.run(&["completions", "fish"]).out;
    let commands = fish.lines().filter_map(|line| {
        let (_, rest) = line.split_once("__fish_abide_needs_command\" ")?;
        Some(rest.split_once("-a \"")?.1.split_once('"')?.0.to_owned())
    });
    let commands: Vec<_> = commands.filter(|command| command != "help").collect();
    assert!(commands.len() > 15, "{commands:?}");
    let help = |command: String| {
        let ran = bench.run(&[&command, "--help"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        let mut text = ran.out;
        let below = text
            .split_once("Commands:\n")
            .map_or("", |(_, below)| below);
        let below = below.lines().take_while(|line| !line.is_empty());
        let names = below.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        let names = names.filter_map(|line| line.split_whitespace().next());
        let names: Vec<_> = names.filter(|name| *name != "help").collect();
        let helps: Vec<_> = names
            .iter()
            .map(|name| bench.run(&[&command, name, "--help"]).out)
            .collect();
        text.push_str(&helps.concat());
        (command, text)
    };
    commands.into_iter().map(help).collect()
}

/// The flags that a help text explains.
fn flags(help: &str) -> impl Iterator<Item = &str> {
    let lines = help
        .lines()
        .map(str::trim_start)
        .filter(|line| line.starts_with('-'));
    lines.filter_map(|line| {
        let (_, rest) = line.split_once("--")?;
        rest.split([' ', '=', '[', ',', '<']).next()
    })
}

/// What stands in `[name: …]`, wherever lines were broken.
fn marked(help: &str, name: &str) -> Vec<String> {
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let parts = help.split(name).skip(1);
    parts
        .filter_map(|part| Some(part.split_once(']')?.0.to_owned()))
        .collect()
}

#[test]
fn every_setting_is_changed_by_its_flag_and_by_each_variable_that_help_names() {
    let bench = Bench::new();
    fs::write(bench.join("keys"), "ann:admin:a-secret-of-20-chars\n").unwrap();
    let help = helps(&bench).remove("serve").unwrap();
    let shown: BTreeSet<&str> = flags(&help).collect();
    let of_default = &bench.run(&["config", "--json"]).json()[0];
    for setting in SETTINGS {
        let name = setting.name;
        assert!(shown.contains(name), "{name} isn't in the help");
        let sample = SAMPLES.iter().find(|(known, _)| *known == name);
        let (_, value) = sample.unwrap_or_else(|| panic!("{name} has no sample here"));
        let flag = format!("--{name}={value}");
        let more = TOGETHER
            .iter()
            .filter(|(known, _)| *known == name)
            .map(|(_, flag)| *flag);
        let more: Vec<_> = more.collect();
        let ran = bench.run(&[&["config", "--json", &flag], &more[..]].concat());
        assert_eq!(ran.code, 0, "{flag}: {ran:?}");
        let of_flag = &ran.json()[0][name];
        assert_eq!(of_flag["source"], "flag", "{flag}");
        assert_ne!(of_flag["value"], of_default[name]["value"], "{flag}");
        for variable in setting.variables() {
            assert!(help.contains(variable), "{variable} isn't in the help");
            let mut command = bench.command(&[&["config", "--json"], &more[..]].concat());
            let ran = crate::bench::Ran::of(&command.env(variable, value).output().unwrap());
            assert_eq!(ran.code, 0, "{variable}: {ran:?}");
            let of_variable = &ran.json()[0][name];
            assert_eq!(of_variable["value"], of_flag["value"], "{variable}");
            assert_eq!(of_variable["source"], format!("environment {variable}"));
        }
    }
}

#[test]
fn every_default_that_help_names_is_the_one_that_holds() {
    let bench = Bench::new();
    let help = helps(&bench).remove("serve").unwrap();
    let told: BTreeSet<String> = marked(&help, "[default: ").into_iter().collect();
    let holds = &bench.run(&["config", "--json"]).json()[0];
    let holds: BTreeSet<&str> = SETTINGS
        .iter()
        .filter(|setting| !(setting.default)().is_empty())
        .map(|setting| holds[setting.name]["value"].as_str().expect("a text"))
        .collect();
    for default in &told {
        assert!(
            holds.contains(default.as_str()),
            "{default} is in the help, and {holds:?} hold"
        );
    }
    let untold: Vec<_> = holds
        .iter()
        .filter(|default| !told.contains(**default))
        .collect();
    assert!(untold.is_empty(), "{untold:?}");
}

fn pages(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(pages(&path));
        } else if path.extension().is_some_and(|kind| kind == "md") {
            found.push(path);
        }
    }
    found
}

#[test]
fn documents_name_flags_and_variables_that_are() {
    let bench = Bench::new();
    let helps = helps(&bench);
    let known: BTreeSet<&str> = helps.values().flat_map(|help| flags(help)).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut documents = pages(&root.join("docs"));
    documents.push(root.join("README.md"));
    let known_help: String = helps.values().map(String::as_str).collect();
    for path in documents {
        let text = fs::read_to_string(&path).unwrap();
        for line in text.lines() {
            // What stands behind another program's name is that program's.
            let is_others = [
                "curl", "cargo", "docker", "npm", "pytest", "checks/", "crates/", "promtool",
                "dpkg",
            ]
            .iter()
            .any(|program| line.contains(program));
            for (at, _) in line.match_indices("--").filter(|_| !is_others) {
                let flag: String = line[at + 2..]
                    .chars()
                    .take_while(|sign| sign.is_ascii_lowercase() || *sign == '-')
                    .collect();
                let begins = line[..at]
                    .chars()
                    .next_back()
                    .is_none_or(|sign| !sign.is_alphanumeric() && sign != '-');
                if flag.len() < 2 || flag.starts_with('-') || !begins {
                    continue;
                }
                let is_known =
                    known.contains(flag.as_str()) || OTHERS_FLAGS.contains(&flag.as_str());
                assert!(is_known, "{}: there is no --{flag}: {line}", path.display());
            }
            for (at, _) in line.match_indices("ABIDE_") {
                let variable: String = line[at..]
                    .chars()
                    .take_while(|sign| sign.is_ascii_uppercase() || *sign == '_')
                    .collect();
                let is_known = known_help.contains(&variable);
                assert!(
                    is_known,
                    "{}: nothing reads {variable}: {line}",
                    path.display()
                );
            }
        }
    }
}
