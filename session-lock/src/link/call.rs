use std::sync::Arc;

use redis::{Cmd, Pipeline, Value};

use super::{script::Script, slot::slot_of};

/// What one caller asks of the server: commands of its own, then perhaps to read a key, then perhaps a script.
///
/// Calls of several callers may go out together. Then what they read becomes one `MGET`, and the entries of a kind become
/// one call of a script that serves many.
#[derive(Debug, Default)]
pub struct Call {
    commands: Vec<Cmd>,
    read: Option<Box<str>>,
    entry: Option<Entry>,
    /// In bytes, as far as it matters for others: of a small call, zero.
    pub(super) weight: usize,
}

/// A call of a script, and how it is joined with others.
#[derive(Clone, Debug)]
pub struct Entry {
    routine: Arc<Routine>,
    words: Arc<Words>,
}

/// A script for one caller, and perhaps another one that serves many at once.
#[derive(Debug)]
pub struct Routine {
    one: Script,
    many: Option<Script>,
}

/// Keys and arguments, one after the other.
#[derive(Debug)]
struct Words {
    text: Vec<u8>,
    ends: Vec<usize>,
    keys: usize,
}

impl Call {
    /// A call of nothing, with room for `commands`.
    pub fn with_capacity(commands: usize) -> Self {
        Self {
            commands: Vec::with_capacity(commands),
            ..Self::default()
        }
    }

    /// The call carries something large, of this many bytes.
    #[must_use]
    pub const fn carrying(mut self, weight: usize) -> Self {
        self.weight = weight;
        self
    }

    /// Adds a command.
    pub fn add(&mut self, command: Cmd) -> &mut Self {
        self.commands.push(command);
        self
    }

    /// Reads a key after the commands: its text, or nil. Read together with others, a key that is absent cannot be told
    /// from one of another type: for both, the answer is an empty array.
    #[must_use]
    pub fn read(mut self, key: &str) -> Self {
        self.read = Some(key.into());
        self
    }

    /// Adds a script after the commands.
    #[must_use]
    pub fn then(mut self, entry: Entry) -> Self {
        self.entry = Some(entry);
        self
    }

    /// The slot of its keys, if it has any; all of them are in one. Of a command, the first argument is a key.
    pub fn slot(&self) -> Option<u16> {
        let entry = || self.entry.as_ref()?.words.all().next();
        let command = || self.commands.first().and_then(key_of);
        let key = self.read.as_deref().map(str::as_bytes);
        key.or_else(entry).or_else(command).map(slot_of)
    }

    /// The number of values in the answer.
    pub(super) fn answers(&self) -> usize {
        self.commands.len() + usize::from(self.read.is_some()) + usize::from(self.entry.is_some())
    }

    /// The same with the text of the script in place of its hash, for a server that has lost it; on its own.
    pub fn spelled_out(self) -> Pipeline {
        self.pipeline(true)
    }

    /// The call on its own.
    pub fn alone(self) -> Pipeline {
        self.pipeline(false)
    }

    /// The call of the script, if that is all.
    pub(super) fn into_script(self) -> Result<Cmd, Self> {
        match self.entry {
            Some(ref entry) if self.commands.is_empty() && self.read.is_none() => {
                Ok(entry.command(false))
            }
            _ => Err(self),
        }
    }

    fn pipeline(self, spelled: bool) -> Pipeline {
        let mut pipeline = Pipeline::with_capacity(self.answers());
        for command in self.commands {
            pipeline.add_command(command);
        }
        if let Some(key) = self.read {
            pipeline.add_command(get([&*key]));
        }
        if let Some(entry) = self.entry {
            pipeline.add_command(entry.command(spelled));
        }
        pipeline
    }
}

impl From<Entry> for Call {
    fn from(entry: Entry) -> Self {
        Self::default().then(entry)
    }
}

impl Entry {
    /// A call of `routine`.
    pub fn new(routine: &Arc<Routine>, keys: &[&[u8]], args: &[&[u8]]) -> Self {
        Self::continued(routine, keys, args, &[])
    }

    /// A call of `routine` whose last argument goes on with `rest`.
    pub fn continued(routine: &Arc<Routine>, keys: &[&[u8]], args: &[&[u8]], rest: &[u8]) -> Self {
        let length: usize = keys.iter().chain(args).map(|word| word.len()).sum();
        let mut words = Words {
            text: Vec::with_capacity(length + rest.len()),
            ends: Vec::with_capacity(keys.len() + args.len()),
            keys: keys.len(),
        };
        for word in keys.iter().chain(args) {
            words.text.extend_from_slice(word);
            words.ends.push(words.text.len());
        }
        words.text.extend_from_slice(rest);
        if let Some(end) = words.ends.last_mut() {
            *end = words.text.len();
        }
        Self {
            routine: Arc::clone(routine),
            words: Arc::new(words),
        }
    }

    /// The call of the script for one.
    fn command(&self, spelled: bool) -> Cmd {
        let Words { text, keys, .. } = &*self.words;
        let mut command = self.routine.one.command(spelled, *keys, text.len());
        self.words.all().for_each(|word| {
            command.arg(word);
        });
        command
    }

    /// Whether both can be served by one call.
    fn joins(&self, other: &Self) -> bool {
        self.routine.many.is_some()
            && Arc::ptr_eq(&self.routine, &other.routine)
            && self.words.keys == other.words.keys
            && self.words.ends.len() == other.words.ends.len()
    }
}

impl Routine {
    /// `many` gets the number of calls as its first argument, then the keys and the arguments of all, by call. It answers
    /// `{now_ms, code, extra, code, extra...}`; code 0: this call is left alone, and `one` has to be asked.
    pub const fn new(one: Script, many: Option<Script>) -> Self {
        Self { one, many }
    }

    /// Adds the loading of its scripts to a pipeline.
    pub fn load(&self, pipeline: &mut Pipeline) {
        self.one.load(pipeline);
        self.many.iter().for_each(|many| many.load(pipeline));
    }
}

impl Words {
    fn all(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let word = &self.text[start..*end];
            start = *end;
            word
        })
    }
}

/// Several calls as one pipeline, and how to tell their answers apart.
pub(super) struct Joined {
    pub(super) pipeline: Pipeline,
    parts: Vec<Part>,
}

/// Where the answers of one call are.
struct Part {
    /// How many are its own; they come first, call by call.
    own: usize,
    read: Option<Place>,
    entry: Option<Place>,
}

#[derive(Clone, Copy)]
enum Place {
    /// The answer at this place is its own.
    Own(usize),
    /// Part of the answer at this place.
    Shared { answer: usize, part: usize },
}

impl Joined {
    /// `keys`: whether keys of different callers may stand in one command.
    pub(super) fn new(calls: Vec<Call>, keys: bool) -> Self {
        let commands = calls.iter().map(Call::answers).sum();
        let mut pipeline = Pipeline::with_capacity(commands);
        let (mut reads, mut entries) = (Vec::new(), Vec::new());
        let mut parts = Vec::with_capacity(calls.len());
        for (index, call) in calls.into_iter().enumerate() {
            parts.push(Part {
                own: call.commands.len(),
                read: None,
                entry: None,
            });
            for command in call.commands {
                pipeline.add_command(command);
            }
            reads.extend(call.read.map(|key| (index, key)));
            entries.extend(call.entry.map(|entry| (index, entry)));
        }
        let together = if keys { reads.len().max(1) } else { 1 };
        for group in reads.chunks(together) {
            for (part, (index, _)) in group.iter().enumerate() {
                parts[*index].read = Some(Place::new(pipeline.len(), part, group.len()));
            }
            pipeline.add_command(get(group.iter().map(|(_, key)| &**key)));
        }
        while let Some((index, first)) = entries.first().cloned() {
            let (group, rest): (Vec<_>, Vec<_>) = entries
                .into_iter()
                .partition(|(other, entry)| *other == index || keys && entry.joins(&first));
            entries = rest;
            for (part, (index, _)) in group.iter().enumerate() {
                parts[*index].entry = Some(Place::new(pipeline.len(), part, group.len()));
            }
            pipeline.add_command(joined(&first, &group));
        }
        Self { pipeline, parts }
    }

    /// The answers of each call.
    pub(super) fn split(self, mut values: Vec<Value>) -> Vec<Vec<Value>> {
        let own = self.parts.iter().map(|part| part.own).sum::<usize>();
        let mut shared = Shared {
            answers: values.split_off(own.min(values.len())),
            first: own,
        };
        let mut values = values.into_iter();
        let mut answers = Vec::with_capacity(self.parts.len());
        for part in self.parts {
            let mut answer = Vec::with_capacity(part.own + 2);
            answer.extend(values.by_ref().take(part.own));
            answer.extend(part.read.map(|place| shared.read(place)));
            answer.extend(part.entry.map(|place| shared.entry(place)));
            answers.push(answer);
        }
        answers
    }
}

impl Place {
    const fn new(answer: usize, part: usize, parts: usize) -> Self {
        if parts == 1 {
            Self::Own(answer)
        } else {
            Self::Shared { answer, part }
        }
    }
}

/// The answers to what calls may have in common.
struct Shared {
    answers: Vec<Value>,
    /// The place of the first of them.
    first: usize,
}

impl Shared {
    fn answer(&mut self, place: usize) -> Option<&mut Value> {
        self.answers.get_mut(place - self.first)
    }

    /// What one caller has read. An error of a common command is everybody's.
    fn read(&mut self, place: Place) -> Value {
        match place {
            Place::Own(answer) => self.answer(answer).map(take),
            Place::Shared { answer, part } => match self.answer(answer) {
                Some(Value::Array(parts)) => match parts.get_mut(part).map(take) {
                    Some(Value::Nil) => Some(Value::Array(Vec::new())),
                    text => text,
                },
                answer => answer.cloned(),
            },
        }
        .unwrap_or(Value::Nil)
    }

    /// What a script says to one of its callers: `{code, now_ms, extra}`; nil, if it left the call alone.
    fn entry(&mut self, place: Place) -> Value {
        match place {
            Place::Own(answer) => self.answer(answer).map(take),
            Place::Shared { answer, part } => match self.answer(answer) {
                Some(Value::Array(parts)) => match parts.get(1 + part * 2..3 + part * 2) {
                    Some([code, extra]) if *code != Value::Int(0) => Some(Value::Array(vec![
                        code.clone(),
                        parts[0].clone(),
                        extra.clone(),
                    ])),
                    _ => None,
                },
                answer => answer.cloned(),
            },
        }
        .unwrap_or(Value::Nil)
    }
}

fn key_of(command: &Cmd) -> Option<&[u8]> {
    match command.args_iter().nth(1)? {
        redis::Arg::Simple(key) => Some(key),
        _ => None,
    }
}

fn take(value: &mut Value) -> Value {
    std::mem::replace(value, Value::Nil)
}

fn get<'a>(keys: impl IntoIterator<Item = &'a str, IntoIter: ExactSizeIterator>) -> Cmd {
    let keys = keys.into_iter();
    let name = if keys.len() == 1 { "GET" } else { "MGET" };
    let mut command = Cmd::with_capacity(1 + keys.len(), 8 + keys.len() * 80);
    command.arg(name);
    keys.for_each(|key| {
        command.arg(key);
    });
    command
}

fn joined(first: &Entry, group: &[(usize, Entry)]) -> Cmd {
    let keys = first.words.keys * group.len();
    let length = group.iter().map(|(_, entry)| entry.words.text.len()).sum();
    let (script, count) = match (&first.routine.many, group.len()) {
        (Some(many), 2..) => (many, Some(group.len())),
        _ => (&first.routine.one, None),
    };
    let mut command = script.command(false, keys, length);
    for (_, entry) in group {
        entry.words.all().take(entry.words.keys).for_each(|key| {
            command.arg(key);
        });
    }
    if let Some(count) = count {
        command.arg(count);
    }
    for (_, entry) in group {
        entry
            .words
            .all()
            .skip(entry.words.keys)
            .for_each(|argument| {
                command.arg(argument);
            });
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routine(many: bool) -> Arc<Routine> {
        let script = |text| Script::new(text, "", &[]);
        Arc::new(Routine::new(
            script("return 'one'"),
            many.then(|| script("return 'many'")),
        ))
    }

    fn entry(routine: &Arc<Routine>, name: &str) -> Call {
        Entry::continued(
            routine,
            &[name.as_bytes()],
            &[b"argument of "],
            name.as_bytes(),
        )
        .into()
    }

    fn ping() -> Call {
        let mut call = Call::default();
        call.add(redis::cmd("PING"));
        call
    }

    /// The commands, without the hashes of scripts.
    fn commands(joined: &Joined) -> Vec<String> {
        let words = |command: &Cmd| {
            let words = command.args_iter().filter_map(|word| match word {
                redis::Arg::Simple(word) if word.len() != 40 => Some(String::from_utf8_lossy(word)),
                _ => None,
            });
            words.collect::<Vec<_>>().join("|")
        };
        joined.pipeline.cmd_iter().map(words).collect()
    }

    #[test]
    fn entries_of_one_kind_become_one_call() {
        let (mine, other) = (routine(true), routine(true));
        let calls = vec![entry(&mine, "a"), entry(&other, "b"), entry(&mine, "c")];
        let joined = Joined::new(calls, true);
        assert_eq!(
            commands(&joined),
            [
                "EVALSHA|2|a|c|2|argument of a|argument of c",
                "EVALSHA|1|b|argument of b"
            ]
        );
        let number = Value::Int;
        let many = vec![number(70), number(1), number(5), number(0), number(0)];
        let alone = Value::Array(vec![number(-3), number(70), number(0)]);
        let answers = joined.split(vec![Value::Array(many), alone.clone()]);
        let first = Value::Array(vec![number(1), number(70), number(5)]);
        assert_eq!(answers, [vec![first], vec![alone], vec![Value::Nil]]);
    }

    #[test]
    fn nothing_is_shared_where_keys_have_to_be_in_one_slot_or_no_script_serves_many() {
        let (mine, lonely) = (routine(true), routine(false));
        let calls = |routine| vec![entry(routine, "a"), entry(routine, "b")];
        assert_eq!(commands(&Joined::new(calls(&mine), false)).len(), 2);
        assert_eq!(commands(&Joined::new(calls(&lonely), true)).len(), 2);
        let reads = vec![Call::default().read("x"), Call::default().read("y")];
        assert_eq!(commands(&Joined::new(reads, false)), ["GET|x", "GET|y"]);
    }

    #[test]
    fn a_call_is_in_the_slot_of_its_keys() {
        assert_eq!(ping().slot(), None);
        assert_eq!(Call::default().read("{a}:x").slot(), Some(slot_of(b"a")));
        assert_eq!(entry(&routine(false), "{a}:y").slot(), Some(slot_of(b"a")));
        let mut set = Cmd::new();
        set.arg("SET").arg("{a}:z").arg("value");
        let mut call = Call::default();
        call.add(set);
        assert_eq!(call.slot(), Some(slot_of(b"a")));
    }

    #[test]
    fn each_caller_gets_its_own_answers() {
        let routine = routine(true);
        let calls = vec![
            ping().read("x"),
            entry(&routine, "a"),
            ping(),
            Call::default().read("y"),
        ];
        let joined = Joined::new(calls, true);
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let number = |number| Value::Int(number);
        let answers = joined.split(vec![
            number(1),
            number(2),
            Value::Array(vec![text("of x"), Value::Nil]),
            number(3),
        ]);
        assert_eq!(
            answers,
            [
                vec![number(1), text("of x")],
                vec![number(3)],
                vec![number(2)],
                vec![Value::Array(vec![])]
            ]
        );
    }

    #[test]
    fn an_error_of_a_common_call_is_everybodys() {
        let routine = routine(true);
        let joined = Joined::new(vec![entry(&routine, "a"), entry(&routine, "b")], true);
        let answers = joined.split(vec![Value::SimpleString("some error".into())]);
        assert_eq!(answers[0], answers[1]);
        assert_eq!(answers[0], [Value::SimpleString("some error".into())]);
    }

    #[test]
    fn answers_that_are_missing_are_nil() {
        let routine = routine(true);
        let joined = Joined::new(vec![ping(), entry(&routine, "a")], true);
        assert_eq!(joined.split(vec![]), [vec![], vec![Value::Nil]]);
    }
}
