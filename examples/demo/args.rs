//! What stands on the command line.

use std::ffi::OsString;
use std::path::PathBuf;

use torq_message_sink::Endpoint;

pub const HELP: &str = "\
Sends a stream of messages from one process to two others, kills one of them in mid-stream with
`kill -9`, starts it again, and checks what arrived.

usage: demo [--messages N] [--input FILE [--paced SPEED]] [--json]

  --messages N     send N messages; of a file, its first N (default: 2000000; of a file: all)
  --input FILE     send the lines of FILE, plain or .gz, instead of made-up messages; a receive
                   stamp before a line (`<nanoseconds> ` or `<seconds>: `) is left out
  --paced SPEED    send at SPEED times the pace of the file's stamps, not as fast as possible
  --json           print the summary as one JSON object, too, on the last line
  --help           print this

exit code: 0 if nothing was duplicated, reordered or torn and each gap is a suffix of what was
written on a connection that died; 1 if not, or if the demo could not run; 2 for bad arguments
";

/// The role of this process, and the options that all of them share.
#[derive(Debug)]
pub struct Args {
    pub role: Role,
    pub options: Options,
}

#[derive(Debug)]
pub enum Role {
    /// What the user starts.
    Parent,
    Help,
    /// `adapter SERVICES_TOML [OPTIONS]`: started by the parent.
    Adapter {
        services: PathBuf,
    },
    /// `strategy ENDPOINT`: started by the parent.
    Strategy {
        endpoint: Endpoint,
    },
}

#[derive(Clone, Debug, Default)]
pub struct Options {
    pub messages: Option<u64>,
    pub input: Option<PathBuf>,
    pub paced: Option<f64>,
    pub json: bool,
}

impl Args {
    pub fn from_env() -> Result<Self, String> {
        Self::parse(std::env::args_os().skip(1))
    }

    fn parse(words: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut args = Self { role: Role::Parent, options: Options::default() };
        let mut words = words;
        while let Some(word) = words.next() {
            let mut value = |what| words.next().ok_or_else(|| format!("{what} is missing"));
            match word.to_str() {
                Some("adapter") => {
                    let services = value("the path of services.toml")?.into();
                    args.role = Role::Adapter { services };
                }
                Some("strategy") => {
                    let endpoint = number(value("the endpoint")?)?;
                    args.role = Role::Strategy { endpoint };
                }
                Some("--messages") => {
                    args.options.messages = Some(number(value("the number of messages")?)?);
                }
                Some("--input") => args.options.input = Some(value("the input file")?.into()),
                Some("--paced") => args.options.paced = Some(number(value("the speed")?)?),
                Some("--json") => args.options.json = true,
                Some("--help" | "-h") => args.role = Role::Help,
                _ => return Err(format!("unknown argument {word:?}")),
            }
        }
        match args.options {
            Options { paced: Some(_), input: None, .. } => {
                Err("--paced needs the stamps of an --input".into())
            }
            Options { paced: Some(speed), .. } if !(speed > 0.0 && speed.is_finite()) => {
                Err(format!("{speed} is not a speed: 1 is real time, 10 is ten times as fast"))
            }
            Options { messages: Some(0 | 1), .. } => {
                Err("it takes two messages at least: one before the kill and one after".into())
            }
            _ => Ok(args),
        }
    }
}

impl Options {
    /// The options as the adapter is to have them.
    pub fn to_words(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        if let Some(messages) = self.messages {
            words.extend(["--messages".into(), messages.to_string().into()]);
        }
        if let Some(input) = &self.input {
            words.extend(["--input".into(), input.into()]);
        }
        if let Some(speed) = self.paced {
            words.extend(["--paced".into(), speed.to_string().into()]);
        }
        words
    }
}

fn number<T: std::str::FromStr<Err: std::fmt::Display>>(word: OsString) -> Result<T, String> {
    let word = word.into_string().map_err(|word| format!("{word:?} is not text"))?;
    word.parse().map_err(|error| format!("`{word}`: {error}"))
}
