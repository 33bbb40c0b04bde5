//! A webhook endpoint of this process, registered at the server for as long as it waits.

use abide::webhooks::NewEndpoint;
use abide::{Client, Inbox, Receiver};

use crate::connect::Common;
use crate::exit::{Failure, UNREACHABLE};
use crate::how::Place;

/// A listener for the ends of jobs, of which the server knows.
pub(crate) struct Ends {
    id: String,
    /// Listens as long as it lives.
    _receiver: Receiver,
}

impl Ends {
    /// Listens, and has the server tell it of every end from now on; what arrives goes to the inbox.
    pub(crate) async fn open(
        common: &Common,
        client: &Client,
        place: &Place,
        inbox: &Inbox,
    ) -> anyhow::Result<Self> {
        let receiver = Receiver::builder().inbox(inbox).bind(place.listen).await;
        let receiver = receiver.map_err(|error| Failure::new(UNREACHABLE, error.to_string()))?;
        let new = NewEndpoint {
            url: place.public_url.clone().unwrap_or_else(|| receiver.url()),
            secret: Some(receiver.secret().expose().into()),
            description: Some("abide wait".to_owned()),
            ..NewEndpoint::default()
        };
        let made = client.webhooks().create(&new).await;
        Ok(Self {
            id: made.map_err(|error| common.failure(&error))?.id,
            _receiver: receiver,
        })
    }

    /// Has the server forget it.
    pub(crate) async fn close(self, common: &Common, client: &Client) {
        common.unregister(client, &self.id).await;
    }
}
