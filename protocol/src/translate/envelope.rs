//! The numbers of an envelope.

use super::map::value_of;
use crate::xccos::{CommandId, Edits, ElementRef, text};

/// What the number of a command becomes; `None` keeps it.
pub type CommandIds<'a> = dyn Fn(&CommandId<'_>) -> Option<CommandId<'a>> + 'a;

/// New numbers for an envelope. The default keeps them all.
#[derive(Clone, Copy, Default)]
pub struct EnvelopeIds<'a> {
    /// `envid` of the document.
    pub envid: Option<&'a str>,
    /// What `commandid` in a reply becomes. One envelope may hold replies to several commands.
    pub command: Option<&'a CommandIds<'a>>,
}

/// Gives the envelope its number.
pub(super) fn renumber(root: ElementRef<'_>, ids: &EnvelopeIds<'_>, edits: &mut Edits) {
    if let Some(envid) = ids.envid {
        set(root, "envid", envid, edits);
    }
}

/// Gives the command that `item` replies to its number.
pub(super) fn renumber_item(item: ElementRef<'_>, ids: &EnvelopeIds<'_>, edits: &mut Edits) {
    let Some(command) = ids.command else {
        return;
    };
    for element in item.children_named("commandid") {
        let envid = element.attr("envid").unwrap_or_default();
        let seqid = element.attr("seqid").unwrap_or_default();
        if let Some(new) = command(&CommandId { envid, seqid }) {
            set(element, "envid", &new.envid, edits);
            set(element, "seqid", &new.seqid, edits);
        }
    }
}

fn set(element: ElementRef<'_>, name: &str, value: &str, edits: &mut Edits) {
    match element.attribute(name) {
        Some(attribute) if value_of(attribute) == value => {}
        Some(attribute) => edits.replace(attribute.value_range(), value),
        None => {
            let mut attribute = format!(" {name}=\"");
            text::escape_attribute(value, &mut attribute);
            attribute.push('"');
            edits.insert_raw(element.name_range().end, &attribute);
        }
    }
}
