//! What is measured, and how.
//!
//! Everything that is compared runs at the same time and is measured in turn, several times. Of the measurements of one thing
//! the one with the least processor time counts: whatever else the machine does can only add to it.

use std::time::Instant;

use anyhow::Result;

use crate::client::{Clients, Posted, Rooms, Work};
use crate::kamailio;
use crate::lab::{Folder, Middle, Pool};
use crate::options::{Box, Options, Part, Transport};
use crate::table::{self, Column, Row};

/// Measures what was asked for.
pub(crate) fn all(options: &Options) -> Result<()> {
    let mut boxes = options.boxes.clone();
    if boxes.contains(&Box::Kamailio) && !kamailio::is_installed() {
        println!(
            "!! Kamailio is not installed and not measured: {}",
            kamailio::INSTALL
        );
        boxes.retain(|kind| *kind != Box::Kamailio);
    }
    println!(
        "{}",
        std::fs::read_to_string("/proc/loadavg")
            .unwrap_or_default()
            .trim()
    );
    let has = |part| options.only.contains(&part);
    if has(Part::Busy) || has(Part::Paced) {
        for members in &options.members {
            for transport in &options.transports {
                posts(options, &boxes, *transport, *members)?;
            }
        }
    }
    if has(Part::Idle) {
        for transport in &options.transports {
            for rooms in &options.rooms {
                idle(options, &boxes, *transport, *rooms)?;
            }
        }
    }
    Ok(())
}

/// One of the things that are compared, with its clients.
struct Scene {
    kind: Box,
    // Dropped in this order: clients see nobody else go.
    clients: Clients,
    middle: Middle,
    _pool: Pool,
    _folder: Folder,
}

impl Scene {
    fn new(options: &Options, kind: Box, transport: Transport, rooms: Rooms) -> Result<Self> {
        let folder = Folder::new()?;
        let pool = Pool::start(folder.path(), "bench", rooms.count(options.clients))?;
        let middle = Middle::start(options, kind, &pool, &folder, options.clients)?;
        let mut clients = middle.clients(transport, &folder, rooms, 0)?;
        clients.sign_in(options.clients)?;
        Ok(Self {
            kind,
            clients,
            middle,
            _pool: pool,
            _folder: folder,
        })
    }
}

/// What came of something that others made. When that fails it is said, and the rest goes on.
fn tolerated<T>(kind: Box, result: Result<T>) -> Result<Option<T>> {
    match result {
        Err(error) if matches!(kind, Box::Kamailio | Box::KamailioStateless) => {
            println!("!! {} FAILED and is not measured: {error:#}", kind.name());
            Ok(None)
        }
        result => result.map(Some),
    }
}

fn posts(options: &Options, boxes: &[Box], transport: Transport, members: usize) -> Result<()> {
    let rooms = Rooms { members, each: 1 };
    let mut scenes = Vec::new();
    for &kind in boxes {
        // Pools want a certificate of each that connects over TLS; clients have none.
        if kind == Box::Straight && transport == Transport::Tls {
            continue;
        }
        scenes.extend(tolerated(
            kind,
            Scene::new(options, kind, transport, rooms),
        )?);
    }
    for &bytes in &options.bodies {
        let work = |rate| Work {
            bytes,
            window: options.window,
            rate,
            clients: 0,
            time: options.time(),
        };
        let about = format!(
            "{} B over {}, rooms of {members}, {} clients",
            bytes,
            transport.name(),
            options.clients,
        );
        if options.only.contains(&Part::Busy) {
            let rows = in_turn(options, &mut scenes, work(0))?;
            table::print(
                &format!("busy: {about}, window {}", options.window),
                &[
                    Column::Rate,
                    Column::Processor,
                    Column::Median,
                    Column::Late,
                    Column::Latest,
                ],
                &rows,
            );
        }
        if options.only.contains(&Part::Paced) {
            // A post is one INFO of its sender, and one to each of the room.
            let rate = options.pace / u32::try_from(members + 1)?;
            let rows = in_turn(options, &mut scenes, work(rate.max(1)))?;
            table::print(
                &format!("paced: {about}, {} INFO/s", options.pace),
                &[
                    Column::Rate,
                    Column::Processor,
                    Column::Median,
                    Column::Late,
                    Column::Latest,
                ],
                &rows,
            );
        }
    }
    Ok(())
}

fn in_turn(options: &Options, scenes: &mut [Scene], work: Work) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = scenes.iter().map(|scene| Row::new(scene.kind)).collect();
    for _ in 0..options.repeat.max(1) {
        for (scene, row) in scenes.iter_mut().zip(&mut rows) {
            if let Some(values) = tolerated(scene.kind, measure(scene, work))? {
                row.keep(values);
            }
        }
    }
    Ok(rows)
}

/// One measurement: values of [`Column`]s.
fn measure(scene: &mut Scene, work: Work) -> Result<[f64; Column::COUNT]> {
    let middle = &scene.middle;
    let (posted, begun) = scene
        .clients
        .work(work, || (Instant::now(), middle.processor_time()))?;
    let (took, after) = (begun.0.elapsed().as_secs_f64(), middle.processor_time()?);
    let Posted {
        posts,
        delivered,
        median,
        late,
        latest,
    } = posted;
    let infos = (posts + delivered).max(1) as f64;
    let processor = after.saturating_sub(begun.1?) as f64 / 1e3 / infos;
    Ok([
        infos / took,
        processor,
        median as f64,
        late as f64,
        latest as f64,
        0.0,
    ])
}

/// Memory of sessions that do nothing.
fn idle(options: &Options, boxes: &[Box], transport: Transport, each: usize) -> Result<()> {
    let rooms = Rooms {
        members: options.idle_members.max(1),
        each,
    };
    let mut rows = Vec::new();
    // What Kamailio's transactions took while clients signed in is never given back: it is measured without.
    let counts = |kind: &&Box| !matches!(kind, Box::Straight | Box::Kamailio);
    for &kind in boxes.iter().filter(counts) {
        if let Some(memory) = tolerated(kind, memory(options, kind, transport, rooms))? {
            let mut row = Row::new(kind);
            row.keep([0.0, 0.0, 0.0, 0.0, 0.0, memory]);
            rows.push(row);
        }
    }
    let about = format!(
        "idle: {} sessions over {}, {each} rooms open",
        options.idle,
        transport.name()
    );
    table::print(&about, &[Column::Memory], &rows);
    Ok(())
}

/// KiB of a session that does nothing.
fn memory(options: &Options, kind: Box, transport: Transport, rooms: Rooms) -> Result<f64> {
    let folder = Folder::new()?;
    // The first ones are not counted: with them comes what is needed once, and a gateway's list of its last decisions fills.
    let counted = options.idle;
    let first = if counted < 1_000 { counted / 10 } else { 3_000 };
    // One process for so many, each with as many before the count begins.
    let shares = counted.div_ceil(options.per_process.saturating_sub(first).max(1));
    let each = (first + counted / shares).next_multiple_of(rooms.members);
    let pool = Pool::start(folder.path(), "bench", rooms.count(each * shares).max(1))?;
    let mut hosts = Vec::new();
    for share in 0..shares {
        let middle = Middle::start(options, kind, &pool, &folder, options.per_process)?;
        let mut clients = middle.clients(transport, &folder, rooms, share * each)?;
        clients.sign_in(first)?;
        hosts.push((middle, clients));
    }
    let (mut before, mut after) = (0, 0);
    for (middle, clients) in &mut hosts {
        before += middle.memory()?;
        clients.sign_in(counted / shares)?;
    }
    for (middle, _) in &hosts {
        after += middle.memory()?;
    }
    let sessions = (counted / shares * shares).max(1);
    Ok(after.saturating_sub(before) as f64 / 1024.0 / sessions as f64)
}
