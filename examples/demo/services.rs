//! The services.toml of a run: the repository's sample, with endpoints that are free here and now.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use socket2::{Domain, Socket, Type};
use torq_message_sink::Endpoint;

const SAMPLE: &str = include_str!("../../services.toml");

/// The name that the adapter sends to.
pub const DESTINATION: &str = "market_data";

/// The services behind it, by their names in the sample: a TCP and a unix endpoint.
pub const TARGETS: [&str; 2] = ["strategy_a", "market_data_relay"];

/// A directory with a services.toml, for as long as this lives.
#[derive(Debug)]
pub struct Services {
    directory: PathBuf,
    /// Where the targets are, in their order.
    pub endpoints: [Endpoint; 2],
    /// Holds the port for the strategy that is to listen there, late and twice: bound, but not
    /// listening, so that connections are refused and nobody else is given it.
    _reservation: Socket,
}

impl Services {
    pub fn create() -> Result<Self, Box<dyn std::error::Error>> {
        let (reservation, port) = reserve_port()?;
        let directory = create_directory()?;
        let endpoints = [
            Endpoint::Tcp { host: "127.0.0.1".into(), port },
            Endpoint::unix(directory.join("market_data.sock"))?,
        ];
        let services = Self { directory, endpoints, _reservation: reservation };
        std::fs::write(services.path(), adapt(SAMPLE, &services.endpoints))?;
        Ok(services)
    }

    pub fn path(&self) -> PathBuf {
        self.directory.join("services.toml")
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        // A directory left behind in the temporary directory is no reason to fail.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Puts the endpoints of the targets in, and turns the counting of messages on.
fn adapt(sample: &str, endpoints: &[Endpoint; 2]) -> String {
    let mut text = String::new();
    let mut service = "";
    for line in sample.lines() {
        if let Some((name, _)) = line.strip_prefix("[services.").and_then(|l| l.split_once(']')) {
            service = name;
        }
        let target = TARGETS.iter().position(|target| *target == service);
        text += &match (&line.split_whitespace().collect::<Vec<_>>()[..], target) {
            (["endpoint", "=", ..], Some(target)) => assign(&endpoints[target]),
            (["counting", "=", ..], _) => "counting = true".to_owned(),
            _ => line.to_owned(),
        };
        text.push('\n');
    }
    text
}

fn assign(endpoint: &Endpoint) -> String {
    format!("endpoint = {:?}", endpoint.to_string())
}

fn reserve_port() -> io::Result<(Socket, u16)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    let port = socket.local_addr()?.as_socket_ipv4().map_or(0, |address| address.port());
    Ok((socket, port))
}

fn create_directory() -> io::Result<PathBuf> {
    let parent = std::path::absolute(std::env::temp_dir())?;
    for attempt in 0.. {
        let directory = parent.join(format!("torq-demo-{}-{attempt}", std::process::id()));
        match create_private(&directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => return created.map(|()| directory),
        }
    }
    unreachable!("the loop has no end")
}

fn create_private(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().mode(0o700).create(directory)
}
