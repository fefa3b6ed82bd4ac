//! A way between two processes that can be cut.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// How the way is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Open.
    Open,
    /// Open, and each part of an answer comes so much later.
    Slow(Duration),
    /// Open, and a connection to PostgreSQL breaks instead of answering its third commit, which is done.
    CommitLost,
    /// Closed: connections break, and new ones are closed at once.
    Cut,
    /// Silent: nothing passes, and nobody is told. Connections break when it ends; new ones wait.
    Silent,
    /// Forgotten: what is connected now, or connects meanwhile, is swallowed for ever, and nobody is
    /// told. Connections that are made when it ends are well.
    Forgotten,
}

impl Way {
    /// Whether anything passes.
    const fn is_open(self) -> bool {
        matches!(self, Self::Open | Self::Slow(_) | Self::CommitLost)
    }
}

/// Forwards connections to an address. Ends with all its connections when dropped.
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    target: watch::Sender<String>,
    way: watch::Sender<Way>,
    struck: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Begins to listen on a free port.
    pub(crate) async fn to(target: String) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("no port for a proxy")?;
        let address = listener.local_addr()?;
        let (way, seen) = watch::channel(Way::Open);
        let (target, leads_to) = watch::channel(target);
        let struck = Arc::new(AtomicU64::new(0));
        #[expect(
            clippy::disallowed_methods,
            reason = "it ends with the proxy, which keeps its handle"
        )]
        let task = tokio::spawn(serve(listener, leads_to, seen, Arc::clone(&struck)));
        Ok(Self {
            address,
            target,
            way,
            struck,
            task,
        })
    }

    /// Opens or closes the way.
    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }

    /// Leads all connections that are made from now on to another address.
    pub(crate) fn turn(&self, target: String) {
        self.target.send_replace(target);
    }

    /// How many connections have met a way that was not open so far, and how many answers were late or lost.
    pub(crate) fn struck(&self) -> u64 {
        self.struck.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    listener: TcpListener,
    target: watch::Receiver<String>,
    way: watch::Receiver<Way>,
    struck: Arc<AtomicU64>,
) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let (target, way, struck) = (target.clone(), way.clone(), Arc::clone(&struck));
        connections.spawn(async move { forward(client, target, way, struck).await });
    }
}

/// One connection, until either side ends it or the way is cut.
async fn forward(
    mut client: TcpStream,
    target: watch::Receiver<String>,
    mut way: watch::Receiver<Way>,
    struck: Arc<AtomicU64>,
) {
    let _ = client.set_nodelay(true);
    let mut server: Option<TcpStream> = None;
    loop {
        let now = *way.borrow_and_update();
        if !now.is_open() {
            struck.fetch_add(1, Ordering::Relaxed);
        }
        match now {
            Way::Cut => return,
            // Neither read nor written: both sides wait. What was on its way is gone, and so a
            // connection that carried something must not go on.
            Way::Silent => {
                if way.changed().await.is_err() || server.is_some() {
                    return;
                }
            }
            Way::Forgotten => return std::future::pending().await,
            Way::Open | Way::Slow(_) | Way::CommitLost => {
                if server.is_none() {
                    let target = target.borrow().clone();
                    server = TcpStream::connect(target).await.ok();
                }
                let Some(server) = server.as_mut() else {
                    return;
                };
                let _ = server.set_nodelay(true);
                let open = way.clone();
                tokio::select! {
                    _ = pass(&mut client, server, &open, &struck) => return,
                    closed = way.wait_for(|way| !way.is_open()) => if closed.is_err() { return },
                }
            }
        }
    }
}

/// Commits of a connection until the answer to one is lost.
const COMMITS: u32 = 3;

/// Carries what both sides say, until both have ended or one answer is lost.
async fn pass(
    client: &mut TcpStream,
    server: &mut TcpStream,
    way: &watch::Receiver<Way>,
    struck: &AtomicU64,
) -> io::Result<()> {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    // Whether the next answer is one that gets lost.
    let doomed = AtomicBool::new(false);
    let asked = async {
        let (mut part, mut commits) = (vec![0; 64 << 10], 0);
        loop {
            let length = from_client.read(&mut part).await?;
            if length == 0 {
                return to_server.shutdown().await;
            }
            if *way.borrow() == Way::CommitLost && is_commit(&part[..length]) {
                commits += 1;
                doomed.store(commits == COMMITS, Ordering::Relaxed);
            }
            to_server.write_all(&part[..length]).await?;
        }
    };
    let answered = async {
        let mut part = vec![0; 64 << 10];
        loop {
            let length = from_server.read(&mut part).await?;
            if length == 0 {
                return to_client.shutdown().await;
            }
            let now = *way.borrow();
            if let Way::Slow(delay) = now {
                struck.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(delay).await;
            }
            if doomed.load(Ordering::Relaxed) {
                struck.fetch_add(1, Ordering::Relaxed);
                return Err(ErrorKind::ConnectionReset.into());
            }
            to_client.write_all(&part[..length]).await?;
        }
    };
    tokio::try_join!(asked, answered).map(|_| ())
}

/// Whether a client asks PostgreSQL to commit: a simple query, as drivers send it.
fn is_commit(part: &[u8]) -> bool {
    const COMMIT: &[u8] = b"COMMIT\0";
    part.windows(COMMIT.len()).any(|words| words == COMMIT)
}
