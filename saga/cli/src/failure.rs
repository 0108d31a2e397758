//! What went wrong, for the person who typed the command: what, why, what to do next, and the exit
//! code for scripts.

use std::{error::Error, fmt::Write as _, io};

use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::{
    advice::here,
    output::{Tone, paint, talk},
    units,
};

/// Why the command ends without having done what it was asked for.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    why: Vec<String>,
    next: Option<String>,
    exit_code: u8,
    may_be_done: bool,
}

/// A check that was asked for did not hold; the other codes are those of
/// `bootstrap::problem::exit_code`.
const CHECK_FAILED: u8 = 7;
/// A fault that the codes of gRPC have no better word for.
const FAULT: u8 = 1;
const USAGE: u8 = 2;
const DONE: u8 = 0;
const NOT_FOUND: u8 = 3;
/// It can never be right, names what is not there, is refused in the state things are in, or is stuck.
const ANSWERED_NO: [u8; 4] = [USAGE, NOT_FOUND, 4, CHECK_FAILED];
/// Begins every failure that is told.
const ERROR: &str = "error:";

impl Failure {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            why: Vec::new(),
            next: None,
            exit_code: FAULT,
            may_be_done: false,
        }
    }

    /// The command can never be right as it stands.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self { exit_code: USAGE, ..Self::new(what) }
    }

    /// The thing works, but not as it must: something is down, or the books do not balance.
    pub(crate) fn check(what: impl Into<String>) -> Self {
        Self { exit_code: CHECK_FAILED, ..Self::new(what) }
    }

    /// For a state of things that refuses the command, with the code a service would answer.
    pub(crate) fn of_code(code: Code, what: impl Into<String>) -> Self {
        Self { exit_code: bootstrap::problem::exit_code(code), ..Self::new(what) }
    }

    pub(crate) fn why(mut self, why: impl Into<String>) -> Self {
        self.why.push(why.into());
        self
    }

    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// What a service answered; `peer` is its name with its address.
    pub(crate) fn from_status(status: &Status, peer: &str, address: &str) -> Self {
        let code = code(status);
        let exit_code = bootstrap::problem::exit_code(code);
        if is_refused_connection(status) {
            let what = format!("nothing listens on {address}, where the {peer} should be");
            let next = format!(
                "start it with {}, or say where it is with --port-base or --config",
                here("up")
            );
            return Self { exit_code, ..Self::new(what).next(next) };
        }
        let details = status.get_error_details();
        let message = match status.message() {
            "" => status.code().description().to_owned(),
            message => message.to_owned(),
        };
        let violations = details.bad_request().map(|request| &request.field_violations);
        let mut failure = match violations {
            Some(violations) if !violations.is_empty() => {
                let mut failure = Self::new(format!("the {peer} refused the request"));
                for violation in violations {
                    failure = failure.why(format!("{} {}", violation.field, violation.description));
                }
                failure
            }
            _ if code != status.code() => {
                Self::new(format!("no answer from the {peer} at {address}: {message}"))
            }
            _ => Self::new(format!("the {peer} says: {message}")),
        };
        failure.exit_code = exit_code;
        let is_of_item =
            violations.is_some_and(|all| all.iter().any(|it| it.field.ends_with("sku")));
        failure.next = if is_of_item { Some(items()) } else { next_after(code, status) };
        failure.may_be_done = matches!(
            code,
            Code::DeadlineExceeded
                | Code::Unavailable
                | Code::Unknown
                | Code::Internal
                | Code::DataLoss
        );
        failure
    }

    /// Of an order that may have been taken: the same request again is the same order.
    pub(crate) fn of_request(self, request_id: &str) -> Self {
        if !self.may_be_done {
            return self;
        }
        self.next(format!("the order may be taken: send it again with --request-id {request_id}"))
    }

    /// Of an order that was taken, and then lost from sight: to order again would be another order.
    pub(crate) fn of_taken(self, order_id: &str) -> Self {
        if self.exit_code == CHECK_FAILED || self.exit_code == DONE {
            return self;
        }
        if self.exit_code == NOT_FOUND {
            let what = "the order is taken, but its saga has not begun yet";
            return Self::of_code(Code::DeadlineExceeded, what).next(format!(
                "it begins by itself; {} says whether Kafka is down, {} goes on from here",
                here("status"),
                here(&format!("watch {order_id}"))
            ));
        }
        let watch = here(&format!("watch {order_id}"));
        self.next(format!("the order is taken: {watch} goes on from here"))
    }

    /// Of what could not be done because of this.
    pub(crate) fn cause_of(mut self, what: &str) -> Self {
        let cause = std::mem::replace(&mut self.what, what.to_owned());
        self.why.insert(0, cause);
        self
    }

    /// Whether nothing is wrong but that nobody reads what is written.
    pub(crate) fn is_reader_gone(&self) -> bool {
        self.exit_code == DONE
    }

    /// What another process of this command wrote when it failed with this code.
    pub(crate) fn retold(written: &str, exit_code: u8) -> Option<Self> {
        let at =
            if written.starts_with(ERROR) { 0 } else { written.find(&format!("\n{ERROR}"))? + 1 };
        let what = written.get(at + ERROR.len()..)?.trim();
        Some(Self { exit_code, ..Self::new(what) })
    }

    /// Whether this request was answered with a no, or came to nothing: others may fare better.
    pub(crate) fn is_of_the_request(&self) -> bool {
        ANSWERED_NO.contains(&self.exit_code)
    }

    /// Whether what was asked for may be done all the same.
    pub(crate) fn may_be_done(&self) -> bool {
        self.may_be_done
    }

    /// The failure of many, told one by one before, that ends with the code of this one.
    pub(crate) fn summed_up(&self, what: String) -> Self {
        Self { exit_code: self.exit_code, ..Self::new(what) }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        self.exit_code
    }

    /// On stderr; nothing for a reader that has gone, which is its right.
    pub(crate) fn tell(&self) {
        if self.exit_code != DONE {
            talk(&self.text());
        }
    }

    pub(crate) fn text(&self) -> String {
        let mut text = format!("{} {}", paint(Tone::Bad, ERROR), self.what);
        for why in &self.why {
            let _ = write!(text, "\n  {} {why}", paint(Tone::Dim, "why: "));
        }
        if let Some(next) = &self.next {
            let _ = write!(text, "\n  {} {next}", paint(Tone::Dim, "next:"));
        }
        text
    }
}

/// What happened on this side of the connection has a source; tonic's own code for it says little.
pub(crate) fn code(status: &Status) -> Code {
    let (code, is_ours) = (status.code(), status.source().is_some());
    if is_ours && code == Code::Cancelled {
        Code::DeadlineExceeded
    } else if is_ours && (code == Code::Unknown || code == Code::Internal) {
        Code::Unavailable
    } else {
        code
    }
}

fn next_after(code: Code, status: &Status) -> Option<String> {
    let details = status.get_error_details();
    let retry_after = details.retry_info().and_then(|retry| retry.retry_delay);
    if let Some(delay) = retry_after {
        return Some(format!("send it again after {}", units::brief(delay)));
    }
    let next = match (code, details.resource_info().map(|info| &*info.resource_type)) {
        (Code::NotFound, Some("order")) => {
            format!("{} shows the orders there are", here("order list"))
        }
        (Code::NotFound, Some("item")) => items(),
        (Code::NotFound, Some("payment")) => {
            format!("{} shows the payments there are", here("payment list"))
        }
        (Code::NotFound, _) => {
            format!("{} shows the sagas there are, {} the orders", here("list"), here("order list"))
        }
        (Code::DeadlineExceeded, _) => {
            "wait longer with --timeout; a change that was asked for may still be made: look before \
             you ask for it again"
                .to_owned()
        }
        (Code::Unavailable | Code::ResourceExhausted, _) => {
            format!("try again; {} says what is down", here("status"))
        }
        (Code::Unimplemented, _) => "the service is of another version than this command".to_owned(),
        (Code::Internal | Code::Unknown | Code::DataLoss, _) => {
            "the service's log says more".to_owned()
        }
        (
            Code::Ok
            | Code::Cancelled
            | Code::InvalidArgument
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unauthenticated,
            _,
        ) => return None,
    };
    Some(next)
}

fn items() -> String {
    format!("{} shows the items there are", here("stock list"))
}

/// Whether there was nobody to answer, as far as the chain of causes tells.
pub(crate) fn is_refused_connection(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return error.kind() == io::ErrorKind::ConnectionRefused;
        }
        cause = error.source();
    }
    false
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let mut told: Vec<String> = error.chain().map(ToString::to_string).collect();
        // Some errors tell their cause in their own words.
        told.dedup_by(|cause, error| error.contains(cause.as_str()));
        let mut told = told.into_iter();
        let what = told.next().unwrap_or_default();
        Self { why: told.collect(), ..Self::new(what) }
    }
}

impl From<provision::Error> for Failure {
    fn from(error: provision::Error) -> Self {
        let is_port_taken = matches!(error, provision::Error::PortTaken { .. });
        let failure = Self::from(anyhow::Error::from(error));
        if is_port_taken { failure.next(OTHER_PORTS) } else { failure }
    }
}

/// What to do when another program has one of our ports.
pub(crate) const OTHER_PORTS: &str =
    "choose six free ports with --port-base, for instance --port-base 7200";

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self { exit_code: DONE, ..Self::new("") }
        } else {
            Self::new("cannot write the output").why(error.to_string())
        }
    }
}

#[cfg(test)]
mod tests;
