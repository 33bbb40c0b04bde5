//! What a leader does for the links that others have made to it: what comes up is carried out and answered.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::frame::{Down, Up};
use super::hub::Hub;
use super::network::Inbound;
use super::status::Status;
use crate::driver::WeakCommands;

/// How often a link without batches says how far the log is.
const COMMITTED_EVERY: Duration = Duration::from_millis(100);
/// Commands of one link that may be in the loop.
const CARRIED_OUT_MAX: usize = 4_096;

/// Serves the links that come, as long as it is polled.
pub(super) async fn serve(
    incoming: &mut mpsc::Receiver<Inbound>,
    hub: &Arc<Hub>,
    commands: &WeakCommands,
    status: &Arc<Status>,
) {
    let mut links = JoinSet::new();
    loop {
        tokio::select! {
            inbound = incoming.recv() => match inbound {
                Some(inbound) => {
                    let (hub, commands) = (hub.clone(), commands.clone());
                    links.spawn(serve_one(inbound, hub, commands, status.clone()));
                }
                None => break,
            },
            Some(_ended) = links.join_next() => {}
        }
    }
    while links.join_next().await.is_some() {}
    std::future::pending::<()>().await;
}

/// Serves one link, until it breaks or the loop ends.
async fn serve_one(inbound: Inbound, hub: Arc<Hub>, commands: WeakCommands, status: Arc<Status>) {
    let Inbound { down, mut up } = inbound;
    hub.add(&down);
    carry_out(&down, &mut up, &hub, &commands, &status).await;
    hub.remove(&down);
}

async fn carry_out(
    down: &mpsc::Sender<Down>,
    up: &mut mpsc::Receiver<Up>,
    hub: &Hub,
    commands: &WeakCommands,
    status: &Arc<Status>,
) {
    let mut tick = tokio::time::interval(COMMITTED_EVERY);
    let (answer, mut answered) = mpsc::unbounded_channel();
    // Commands in the loop, and those of them that are answered and not told yet.
    let (mut asked, mut answers) = (0, Vec::new());
    let (mut places, mut gathered) = (FuturesUnordered::new(), FuturesUnordered::new());
    let mut frames = Vec::new();
    loop {
        let room = CARRIED_OUT_MAX.saturating_sub(asked);
        let sent = tokio::select! {
            count = up.recv_many(&mut frames, room), if room > 0 => {
                let door = commands.upgrade().filter(|_| count > 0);
                let Some(commands) = door else {
                    return;
                };
                for frame in frames.drain(..) {
                    match frame {
                        Up::Ask { id, command } => {
                            commands.ask_elsewhere(id, command, &answer);
                            asked += 1;
                        }
                        Up::Now { id } => {
                            let (settled, status) = (commands.catch_up(), status.clone());
                            places.push(async move {
                                // Others may read in the log what is being written, and show it.
                                let is_settled = settled.await.is_ok();
                                // What is acknowledged after this needn't be seen.
                                let at = hub.committed();
                                let is_certain = is_settled && status.leads_for_certain().await;
                                (id, is_certain.then_some(at))
                            });
                        }
                        Up::Gather { id, question } => gathered.push(async move {
                            let mut told = hub.gather(&question, Some(down)).await;
                            told.extend(status.tell(&question));
                            (id, told)
                        }),
                        Up::Told { id, told } => hub.questions.told(id, vec![told]),
                    }
                }
                true
            }
            count = answered.recv_many(&mut answers, CARRIED_OUT_MAX) => {
                asked -= count;
                // Whatever they did is behind this place, and was pushed before it was answered.
                let (at, answers) = (hub.committed(), std::mem::take(&mut answers));
                down.try_send(Down::Answered { answers, at }).is_ok()
            }
            Some((id, told)) = gathered.next() => {
                down.try_send(Down::Gathered { id, told }).is_ok()
            }
            Some((id, at)) = places.next() => down.try_send(Down::Now { id, at }).is_ok(),
            _ = tick.tick() => hub.tell(down),
        };
        if !sent {
            return;
        }
    }
}
