//! Taking a document apart: one post, or some commands.

use bytes::Bytes;
use holdover_protocol::xccos::{
    Command, CommandId, CommandView, Document, Item, Outcome, Reply, ReplyData, ResultCode, Verb,
};

use super::post::Refusal;
use super::{Core, Effect, Performed, Turn};
use crate::pool::embedded::LegId;
use crate::pool::embedded::ticks::Ticks;
use crate::pool::{Receipt, SendId};

/// Most commands in one document. Clients send one; each can bring a long reply.
const COMMANDS: usize = 16;

/// How a command ends.
pub(super) type Answer = Result<ReplyData, Outcome>;

impl Core {
    /// Handles one document of a leg. Exactly one receipt comes of it, first of all; nothing at all if the leg is closed.
    pub(in crate::pool::embedded) fn handle(
        &mut self,
        leg: LegId,
        id: SendId,
        document: Bytes,
        now: Ticks,
    ) -> Performed {
        let Some(user) = self.presence.user(leg).cloned() else {
            return Performed::default();
        };
        let mut turn = Turn {
            leg,
            user,
            now,
            stored: false,
            notices: Vec::new(),
        };
        let (receipt, mut effects) = match self.read(document, &mut turn) {
            Ok(effects) => (Receipt::Accepted, effects),
            Err(refusal) => (refusal.into(), Vec::new()),
        };
        effects.insert(0, Effect::Receipt { leg, id, receipt });
        effects.append(&mut turn.notices);
        Performed {
            effects,
            rests_on_commit: turn.stored.then_some((leg, id)),
        }
    }

    fn read(&mut self, document: Bytes, turn: &mut Turn) -> Result<Vec<Effect>, Refusal> {
        let document = Document::parse(document, &self.limits)
            .map_err(|_| Refusal::new(400, "Malformed document"))?;
        if !document.root().is("xccos") {
            return Err(Refusal::new(400, "Not an XCCOS document"));
        }
        let mut commands = Vec::new();
        let mut posts = Vec::new();
        for item in document.items() {
            match item {
                Item::Command(command) => commands.push(command),
                Item::GroupChat(post) => posts.push(post),
                // What only servers say, and what nobody knows, has no effect.
                Item::Reply(_) | Item::Notice(_) | Item::Other(_) => {}
            }
        }
        match (posts.as_slice(), commands.as_slice()) {
            ([], []) => Err(Refusal::new(400, "Nothing to do")),
            ([], commands) if commands.len() > COMMANDS => {
                Err(Refusal::new(413, "Too many commands"))
            }
            ([], commands) => Ok(commands
                .iter()
                .filter_map(|command| self.command(*command, turn))
                .collect()),
            ([post], []) => Ok(vec![self.post(*post, turn)?]),
            // One receipt cannot tell of two posts.
            _ => Err(Refusal::new(400, "A message must be alone")),
        }
    }

    /// The answer to a command; `None`: it is made in portions.
    fn command(&mut self, view: CommandView<'_>, turn: &mut Turn) -> Option<Effect> {
        let verb = view.verb();
        let id = view.id();
        let answer = match Command::read(view) {
            Ok(command) => match self.begin_listing(&id, &command, turn) {
                Some(begun) => Err(begun.err()?),
                None => self.answer(&command, turn),
            },
            Err(_) => Err(ResultCode::InvalidArgument.into()),
        };
        let verb = match verb {
            Verb::GetServerInfo if self.options.variants.short_server_info => {
                Verb::Unknown("getservinfo".into())
            }
            verb => verb,
        };
        let reply = match answer {
            Ok(data) => Reply::success(verb, data),
            Err(ending) => Reply::failure(verb, ending),
        };
        Some(self.reply(turn.leg, &id, &reply))
    }

    /// A reply for one leg. One that no reader would take is a failure instead.
    pub(super) fn reply(&mut self, leg: LegId, to: &CommandId<'_>, reply: &Reply) -> Effect {
        let mut document = self.envelope().reply(1, Some(to), reply).finish();
        if document.len() > self.limits.bytes {
            let ending = Outcome::new(ResultCode::LimitExceeded, "The answer is too large.");
            let failure = Reply::failure(reply.verb.clone(), ending);
            document = self.envelope().reply(1, Some(to), &failure).finish();
        }
        Effect::Document {
            legs: vec![leg],
            document,
        }
    }

    fn answer(&mut self, command: &Command, turn: &mut Turn) -> Answer {
        match command {
            Command::RequestUri => Ok(self.request_uri()),
            Command::GetServerInfo(query) => Ok(self.server_info(query, turn)),
            Command::Join(join) => self.join(join, turn),
            Command::BatchJoin(join) => self.batch_join(join, turn),
            Command::Part(part) => Ok(self.part(part, turn)),
            Command::BackChat(query) => self.back_chat(query, turn),
            Command::GetPreference(get) => self.get_preference(get, turn),
            Command::SetPreference(set) => self.set_preference(set, turn),
            // Rooms and categories are made by tools of this server, so there is no place to create anything.
            Command::NodesPermCreateChild => Ok(ReplyData::Empty),
            Command::GetUploadToken(_)
            | Command::GetDownloadToken(_)
            | Command::Unknown(_)
            // Answered in portions.
            | Command::ChannelSearch(_)
            | Command::GetAssociations
            | Command::GetInvitations(_) => Err(ResultCode::NotSupported.into()),
        }
    }
}
