//! Whether the members of a group have, together, every partition of their topics.
//!
//! The member that assigns asks a broker for the partitions. While topics are made again it can hear
//! that there are none. Its client library finds later that they are as they were when it joined, and
//! leaves it at that: nobody would ever read them.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};

/// So long after partitions were assigned it is looked. Twice as long after each time that some were
/// lacking, or that the broker did not say: to join again takes everybody's partitions away.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// How long the broker may take to describe a group.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) struct Coverage {
    group: String,
    /// As the broker knows them.
    topics: Vec<String>,
    /// Of each of them.
    partition_count: i32,
    due_at: Option<Instant>,
    pause: Duration,
}

impl Coverage {
    pub(super) fn new(group: String, topics: Vec<String>, partition_count: i32) -> Self {
        Coverage { group, topics, partition_count, due_at: None, pause: FIRST_PAUSE }
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = &str> {
        self.topics.iter().map(String::as_str)
    }

    /// Partitions were assigned, be it none.
    pub(super) fn look_soon(&mut self) {
        self.due_at = Some(Instant::now() + self.pause);
    }

    /// Asks the broker, if it is time to. Whether there are partitions that no member has.
    pub(super) fn is_lacking<C: ConsumerContext>(&mut self, consumer: &BaseConsumer<C>) -> bool {
        if self.due_at.is_none_or(|at| Instant::now() < at) {
            return false;
        }
        let wanted = self.topics.len() * usize::try_from(self.partition_count).unwrap_or(0);
        let assigned_count = self.assigned_to_all(consumer);
        if assigned_count.is_some_and(|count| count >= wanted) {
            self.due_at = None;
            self.pause = FIRST_PAUSE;
            return false;
        }
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.look_soon();
        assigned_count.is_some()
    }

    /// Nothing while the group changes, or the broker does not say.
    fn assigned_to_all<C: ConsumerContext>(&self, consumer: &BaseConsumer<C>) -> Option<usize> {
        let groups = consumer.fetch_group_list(Some(&self.group), PATIENCE).ok()?;
        let group = groups.groups().iter().find(|group| group.state() == "Stable")?;
        let assignments = group.members().iter().map(|member| member.assignment());
        assignments.map(|bytes| assigned_count(bytes.unwrap_or_default(), &self.topics)).sum()
    }
}

/// How many partitions of these topics a member was assigned. Nothing when the bytes are not as Kafka's
/// protocol has them ("ConsumerProtocolAssignment"): a version; then, with its length before each, the
/// topics, their names, and the numbers of their partitions.
fn assigned_count(mut assignment: &[u8], topics: &[String]) -> Option<usize> {
    // Nobody gave this member anything, not even an empty list.
    if assignment.is_empty() {
        return Some(0);
    }
    let rest = &mut assignment;
    let _version = i16::from_be_bytes(take(rest)?);
    let topic_count = i32::from_be_bytes(take(rest)?);
    let mut count = 0;
    for _ in 0..topic_count {
        let length = i16::from_be_bytes(take(rest)?);
        let name = take_slice(rest, usize::try_from(length).ok()?)?;
        let partition_count = usize::try_from(i32::from_be_bytes(take(rest)?)).ok()?;
        take_slice(rest, partition_count.checked_mul(size_of::<i32>())?)?;
        if topics.iter().any(|topic| topic.as_bytes() == name) {
            count += partition_count;
        }
    }
    Some(count)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

fn take_slice<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests;
