//! `holdover trace`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use holdover_config::file::{TEXT_BYTES, read};
use holdover_protocol::sip::Message;
use holdover_protocol::trace::{self, Report, Trace};
use serde_json::json;

/// What can be done with a trace of SIP messages.
#[derive(Debug, Subcommand)]
pub(super) enum TraceCommand {
    /// List the SIP messages in a log of Microsoft's servers or clients: line, method or status, length of the body
    Read(TraceArgs),
    /// Report what in a log Holdover does not know or would translate, without personal data
    ///
    /// Every message goes through Holdover's own decoder, reader and translator. The report has names of the protocol,
    /// numbers and line numbers only, and says which open questions about the protocol the log answers.
    Judge(TraceArgs),
}

/// Arguments of `holdover trace read` and `holdover trace judge`.
#[derive(Debug, Args)]
pub(super) struct TraceArgs {
    /// The log: text of OCSLogger or Lync's tracing, or a .uccapilog; UTF-8 or UTF-16, 64 MiB at most
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How to write it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Reads or judges a trace.
pub(super) fn trace(command: &TraceCommand) -> anyhow::Result<ExitCode> {
    match command {
        TraceCommand::Read(args) => {
            let trace = open(&args.file)?;
            list(&trace, args.format);
        }
        TraceCommand::Judge(args) => {
            let report = trace::judge(&open(&args.file)?);
            match args.format {
                Format::Text => print_report(&report),
                Format::Json => println!("{}", as_json(&report)),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads a log that has at least one message.
fn open(file: &Path) -> anyhow::Result<Trace> {
    let name = file.display();
    let bytes = read(file, TEXT_BYTES).with_context(|| format!("cannot read {name}"))?;
    let trace = trace::read(&trace::decode_text(&bytes));
    anyhow::ensure!(
        !trace.messages.is_empty() || trace.too_long > 0,
        "{name} has no SIP message in a form that is known: neither `$$begin_record` with `Start-Line:` nor lines like \
         `… INFO  :: INVITE … SIP/2.0`"
    );
    Ok(trace)
}

fn list(trace: &Trace, format: Format) {
    for traced in &trace.messages {
        let message = Message::parse(&traced.bytes).ok();
        let what = message.as_ref().map_or_else(
            || "refused".to_owned(),
            |message| match message {
                Message::Request(request) => request.method().to_string(),
                Message::Response(response) => response.status().code().to_string(),
            },
        );
        let body = message.as_ref().map_or(0, |message| message.body().len());
        let (line, cut) = (traced.line, traced.is_cut);
        match format {
            Format::Json => println!(
                "{}",
                json!({ "line": line, "what": what, "body_bytes": body, "cut": cut })
            ),
            Format::Text => {
                let note = if cut { ", cut" } else { "" };
                println!("{line:>8}  {what:<10} {body} bytes of body{note}");
            }
        }
    }
}

fn print_report(report: &Report) {
    println!(
        "{} message(s), {} XCCOS document(s), {} cut, {} too long",
        report.messages, report.documents, report.cut, report.too_long
    );
    println!("\nNot known, or translated:");
    for finding in &report.findings {
        println!(
            "  {:<11} {:<44} {:>6} time(s), first in line {}",
            finding.kind.as_str(),
            finding.what,
            finding.count,
            finding.line
        );
    }
    if report.findings.is_empty() {
        println!("  nothing");
    }
    if report.left_out > 0 {
        println!("  {} more", report.left_out);
    }
    println!("\nOpen questions:");
    for question in &report.questions {
        match (question.line, &question.seen) {
            (Some(line), Some(seen)) => {
                println!("  [x] {}: {seen}, line {line}", question.text);
            }
            _ => println!("  [ ] {}", question.text),
        }
    }
}

fn as_json(report: &Report) -> serde_json::Value {
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|it| json!({ "kind": it.kind.as_str(), "what": it.what, "count": it.count, "line": it.line }))
        .collect();
    let questions: Vec<_> = report
        .questions
        .iter()
        .map(|it| json!({ "id": it.id, "text": it.text, "line": it.line, "seen": it.seen }))
        .collect();
    json!({
        "messages": report.messages,
        "documents": report.documents,
        "cut": report.cut,
        "too_long": report.too_long,
        "findings": findings,
        "left_out": report.left_out,
        "questions": questions,
    })
}
