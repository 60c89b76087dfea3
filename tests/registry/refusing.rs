//! Files that are wrong: the words, the places, and that no error hides another.

use std::error::Error;
use std::io::{ErrorKind as IoKind, Write};
use std::path::{Path, PathBuf};
use std::{env, fs, process};

use torq_message_sink::{
    ConfigError, DiagnosticKind, ErrorKind, Registry, RegistryLoader, SinkError,
};

fn refuse(text: &str) -> ConfigError {
    Registry::from_str(text).expect_err("refused")
}

/// A path of this test alone, removed when it ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(env::temp_dir().join(format!("torq-registry-{}-{name}", process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Each `config_errors/NAME.toml` is refused with the words of `config_errors/NAME.txt`, and so is
/// `services.toml` of each folder there, under its overlays if it has any. With `UPDATE=1` the words
/// are written instead, for a look at the difference.
#[test]
fn every_broken_file_has_its_words() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config_errors");
    let update = env::var_os("UPDATE").is_some();
    let mut files = 0;
    let mut wrong = Vec::new();
    for entry in fs::read_dir(&corpus).expect("the directory is there") {
        let path = entry.expect("readable").path();
        let broken = if path.is_dir() { path.join("services.toml") } else { path.clone() };
        if broken.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        files += 1;
        let mut loader = RegistryLoader::new().with_variables(variable);
        for overlay in ["overlay.toml", "overlay2.toml"] {
            let overlay = path.join(overlay);
            if overlay.exists() {
                loader = loader.with_overlay(overlay);
            }
        }
        let Err(error) = loader.load(&broken) else { panic!("{} is accepted", path.display()) };
        // The words name the files as they were given; the snapshot must not know where that is.
        let here = corpus.display().to_string() + "/";
        let words = error.to_string().replace(&here, "") + "\n";
        assert!(!words.contains(SECRET), "{words}");
        assert!(!format!("{error:?}").contains(SECRET), "{error:?}");
        let expected = path.with_extension("txt");
        if update {
            fs::write(expected, words).expect("written");
        } else if fs::read_to_string(&expected).unwrap_or_default() != words {
            wrong.push(words);
        }
    }
    assert!(files >= 80, "only {files} files");
    assert!(wrong.is_empty(), "these differ from their snapshots:\n\n{}", wrong.join("\n"));
}

/// What no error may show.
const SECRET: &str = "hunter2";

/// The variables of the broken files.
fn variable(name: &str) -> Option<String> {
    match name {
        "SECRET" => Some(SECRET.to_owned()),
        "SECRET_PATH" => Some(format!("/run/{}", SECRET.repeat(20))),
        "DAY" => Some("24h".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

#[test]
fn three_bad_services_are_all_reported() {
    let error = refuse(
        r#"
        [services.a]
        type = "direkt"
        endpoint = "tcp://a:1"
        [services.b]
        type = "direct"
        endpoint = "tcp://b:70000"
        lazy = { connect_timeout = "0s", max_attempts = -1 }
        [services.c]
        type = "composite"
        pattern = "fanout"
        targets = ["a", "d"]
        bufer = {}
        "#,
    );
    let lines: Vec<_> = error.errors().iter().map(|error| error.line()).collect();
    assert_eq!(lines, [3, 7, 8, 8, 12, 13], "{error}");
}

#[test]
fn syntax_error_hides_nothing_but_its_own_line() {
    let error = refuse(
        r#"
        [services.a]
        type = "direct
        endpoint = "tcp://a:0"
        [services.b]
        type = "direct"
        endpoint = tcp://b:1
        lazy.max_attempts = "many"
        "#,
    );
    let lines: Vec<_> = error.errors().iter().map(|error| error.line()).collect();
    assert_eq!(lines, [3, 4, 7, 8], "{error}");
}

#[test]
fn places_are_lines_and_characters_from_one() {
    let error = refuse("[services.a]\ntype = 'direct'\nendpoint = 'tcp://ä:1'; typ = 1\n");
    let first = &error.errors()[0];
    assert_eq!((first.line(), first.column()), (3, 23), "{error}");
    let error =
        refuse("[services.\"ä\"]\ntype = 'direct'\nendpoint = 'tcp://a:1'\n  \"täpe\" = 'ö'\n");
    let first = &error.errors()[0];
    assert_eq!((first.line(), first.column()), (4, 3));
    assert_eq!(*first.kind(), DiagnosticKind::UnknownKey { key: "täpe".into() });
    assert_eq!(first.help(), Some("did you mean `type`?"));
}

#[test]
fn byte_order_mark_takes_no_column() {
    let error = refuse("\u{feff}servces.a.type = 'direct'\n[services]");
    assert_eq!((error.errors()[0].line(), error.errors()[0].column()), (1, 1));
}

#[test]
fn nothing_shown_can_turn_or_move_the_terminal() {
    let error = refuse("[services.a]\ntype = 'di\u{202e}rect'\nendpoint = \"\\u001b[2J\"\n");
    assert_eq!(error.errors().len(), 2, "{error}");
    let shown = error.to_string();
    assert!(!shown.contains(|c: char| c == '\u{202e}' || (c.is_control() && c != '\n')));
}

#[test]
fn path_that_is_no_file_is_typed() {
    let kind_of = |path: &Path| match Registry::from_path(path).expect_err("refused").errors() {
        [error] => error.kind().clone(),
        errors => panic!("{errors:?}"),
    };
    let missing = kind_of(&Scratch::new("missing").0);
    assert!(matches!(missing, DiagnosticKind::Unreadable { kind: IoKind::NotFound, .. }));
    let directory = kind_of(&env::temp_dir());
    assert!(matches!(directory, DiagnosticKind::Unreadable { kind: IoKind::IsADirectory, .. }));
    let error = Registry::from_path("no/such/services.toml").expect_err("missing");
    assert!(error.to_string().starts_with("no/such/services.toml: error: cannot be read: "));
}

#[test]
fn endless_file_is_read_to_the_limit_only() {
    let error = Registry::from_path("/dev/zero").expect_err("endless");
    let kind = DiagnosticKind::TooLarge { max: Registry::MAX_BYTES };
    assert_eq!(*error.errors()[0].kind(), kind);
    let largest = "#".repeat(Registry::MAX_BYTES - 11) + "\n[services]";
    assert!(Registry::from_str(&largest).is_ok());
    assert_eq!(*refuse(&format!("{largest}#")).errors()[0].kind(), kind);
}

#[test]
fn text_that_is_not_utf8_is_shown_where_it_is_not() {
    let scratch = Scratch::new("latin1");
    let mut file = fs::File::create(&scratch.0).expect("created");
    file.write_all(b"# fine\nname = \"caf\xe9\"\n").expect("written");
    let error = Registry::from_path(&scratch.0).expect_err("latin 1");
    let [first] = error.errors() else { panic!("{error}") };
    assert_eq!(*first.kind(), DiagnosticKind::NotUtf8);
    assert_eq!((first.line(), first.column()), (2, 12));
}

#[test]
fn sink_error_carries_the_report() {
    let error = SinkError::from(refuse("x = 1"));
    assert_eq!(error.kind(), ErrorKind::Config);
    let source = error.source().expect("the report");
    assert!(source.downcast_ref::<ConfigError>().is_some());
    assert!(source.to_string().contains("unknown key `x`"));
}

#[test]
fn nan_and_infinities_are_out_of_range() {
    for multiplier in ["nan", "inf", "-inf", "1e999", "0.99", "-1", "1001"] {
        let error = refuse(&format!(
            "[services.a]\ntype = 'direct'\nendpoint = 'tcp://a:1'\n\
             lazy.backoff.multiplier = {multiplier}"
        ));
        let [only] = error.errors() else { panic!("{error}") };
        assert!(matches!(only.kind(), DiagnosticKind::OutOfRange { .. }), "{error}");
    }
}

#[test]
fn more_errors_than_anyone_reads_are_counted() {
    let error = refuse(&format!("[services]\n{}", "x\n".repeat(5000)));
    assert_eq!((error.errors().len(), error.omitted()), (1000, 4000));
    assert!(error.to_string().ends_with("and 4000 more errors"));
}
