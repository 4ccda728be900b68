//! A little ordinary work before anything is measured, so that memory is that of a gateway that has served.

use std::net::SocketAddr;

use anyhow::Result;
use holdover_tests::client::Client;
use tokio::task::JoinSet;

use crate::lab::NOISE;

/// Users who sign in, post and sign out.
const USERS: usize = 64;

/// Users who are there at a time.
const AT_ONCE: usize = 8;

/// Posts of each.
const POSTS: usize = 10;

/// Does it.
pub(crate) fn up(gateway: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut users = JoinSet::new();
        for number in 0..USERS {
            if number >= AT_ONCE {
                users.join_next().await.transpose()?;
            }
            users.spawn(async move {
                let mut client = Client::tcp(gateway, &format!("warm{number}")).await;
                client.sign_in().await;
                client.join(NOISE).await;
                for _ in 0..POSTS {
                    client.post(NOISE, &"work ".repeat(400)).await;
                }
                client.sign_out().await;
            });
        }
        while let Some(user) = users.join_next().await {
            user?;
        }
        Ok(())
    })
}
