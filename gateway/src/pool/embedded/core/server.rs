//! `requri` and `getserverinfo`: what the pool says of itself.

use holdover_protocol::room::CategoryUri;
use holdover_protocol::xccos::ReplyData;
use holdover_protocol::xccos::block::ServerBlock;
use holdover_protocol::xccos::verb::{GetServerInfo, GetServerInfoReply, RequestUriReply};

use super::{Core, Turn};

impl Core {
    /// Its own address: there is no other service to send a client to.
    pub(super) fn request_uri(&self) -> ReplyData {
        ReplyData::RequestUri(RequestUriReply {
            uri: Some(self.options.uri.clone()),
        })
    }

    /// Limits, clock, root category. All of it, whichever facts were asked for: which bit asks for which is unknown.
    pub(super) fn server_info(&self, query: &GetServerInfo, turn: &Turn) -> ReplyData {
        let limit = u32::try_from(self.options.message_limit).ok();
        ReplyData::GetServerInfo(GetServerInfoReply {
            server: ServerBlock {
                info_type: query.query.info_type,
                server_time: Some(turn.now.to_string().into()),
                search_limit: u32::try_from(self.options.search_limit).ok(),
                message_size_limit: limit,
                story_size_limit: limit,
                root_uri: CategoryUri::new(&self.options.domain, &self.identity.root).ok(),
                db_version: Some(self.identity.database.as_str().into()),
            },
        })
    }
}
