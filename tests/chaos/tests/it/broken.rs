//! Negative controls: the same clients and the same check, on a library with one rule taken out. Each story is also told
//! with the library as it is, and then nothing is wrong.
//!
//! Lua before every script takes the rule out. Not here: a locked write that does not look at the version, which needs a slot
//! that moves between two nodes (on one Redis the lock alone keeps others out); cached reads whose age counts from the answer,
//! because on one connection the message of a change follows that answer at once (`session-redis` has tests of its own); the
//! naive maximum as fencing token (`tests/model`).

use std::{sync::Arc, time::Duration};

use latchkey::Timeouts;
use latchkey_chaos::{
    Broken, ChaosResult, Client, Held, History, Known, Options, Outcome, Recorder, Settings, Terms,
    Topology, Violation, check, run,
};
use session_testkit::servers::{LinkFault, Proxy, RedisServer};
use tokio::time::{sleep, timeout};

/// A server, and clients that each count as a process.
struct Lab {
    server: RedisServer,
    settings: Settings,
    recorders: Vec<Arc<Recorder>>,
}

const LEASE: Duration = Duration::from_millis(500);
const SLACK: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(60);

impl Lab {
    /// `rule`: Lua that stands before every script, for what `redis.call` and `redis.pcall` do there.
    async fn new(rule: &str) -> ChaosResult<Self> {
        let settings = Settings {
            lease: LEASE,
            prelude: rule.to_owned(),
            ..Settings::default()
        };
        Ok(Self {
            server: RedisServer::start().await?,
            settings,
            recorders: Vec::new(),
        })
    }

    async fn client(&mut self) -> ChaosResult<Client> {
        let url = self.server.url();
        self.client_at(&url).await
    }

    async fn client_at(&mut self, url: &str) -> ChaosResult<Client> {
        let store = self.settings.store(url).await?;
        let recorder = Arc::new(Recorder::in_memory(self.recorders.len() as u64 + 1));
        self.recorders.push(Arc::clone(&recorder));
        let sessions = self.settings.sessions(store).build()?;
        Ok(Client::new(sessions, recorder, 0, self.settings.staleness))
    }

    /// Returns when nobody holds anything any more.
    async fn all_locks_run_out(&self) -> ChaosResult {
        let gone = async {
            while !self.server.keys("*:lock:*").await?.is_empty() {
                sleep(Duration::from_millis(10)).await;
            }
            ChaosResult::Ok(())
        };
        timeout(PATIENCE, gone).await?
    }

    /// What the check finds.
    fn broken(&self) -> Vec<Broken> {
        let history = History::of(self.recorders.iter().map(|recorder| &**recorder));
        let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let terms = Terms {
            grace: nanos(self.settings.grace),
            slack: nanos(SLACK),
        };
        let violations = check(&history, &terms);
        violations
            .into_iter()
            .map(|violation| violation.broken)
            .collect()
    }
}

/// Tells a story with the library as it is, and with `rule` taken out: then `expected` is found.
async fn is_caught(
    rule: &str,
    expected: Broken,
    story: impl AsyncFn(&mut Lab) -> ChaosResult,
) -> ChaosResult {
    let mut whole = Lab::new("").await?;
    story(&mut whole).await?;
    assert_eq!(whole.broken(), [], "of the library as it is");
    let mut broken = Lab::new(&prelude(rule)).await?;
    story(&mut broken).await?;
    let found = broken.broken();
    assert!(
        found.contains(&expected),
        "{expected:?} is not among {found:?}"
    );
    Ok(())
}

/// `rule` is the body of a function that is given the name of a command, its key, its further arguments as a table, and what
/// it would have answered, as a function; what it returns is the answer, unless that is nil.
fn prelude(rule: &str) -> String {
    format!(
        "local real = redis
         local function ruled(name, key, rest, honest) {rule} end
         local function rule(ask, name, key, ...)
           local rest, count = {{...}}, select('#', ...)
           local function honest() return ask(name, key, unpack(rest, 1, count)) end
           local answer = ruled(name, key, rest, honest)
           if answer ~= nil then return answer end
           if key == nil then return ask(name) end
           return honest()
         end
         local redis = setmetatable({{
           call = function(...) return rule(real.call, ...) end,
           pcall = function(...) return rule(real.pcall, ...) end,
         }}, {{__index = real}})
        "
    )
}

/// A session that the first client has made, and that client.
async fn begin(lab: &mut Lab) -> ChaosResult<(Client, Known)> {
    let mut client = lab.client().await?;
    let known = client.create(None).await.ok_or("it is stored")?;
    Ok((client, known))
}

async fn lock(client: &Client, known: &Known) -> ChaosResult<Held> {
    Ok(client
        .lock(known)
        .await
        .map_err(|told| format!("{told:?}"))?)
}

/// Whoever was cut off and has lost its lease goes on as if nothing had happened, while another one holds the session.
async fn late_holder(lab: &mut Lab, goes_on: impl AsyncFnOnce(&mut Client, Held)) -> ChaosResult {
    let proxy = Proxy::start(&lab.server).await?;
    let (_, known) = begin(lab).await?;
    let mut late = lab.client_at(&proxy.url()).await?;
    let held = lock(&late, &known).await?;
    proxy.cut().await;
    lab.all_locks_run_out().await?;
    let other = lab.client().await?;
    let mut others = lock(&other, &known).await?;
    others.look();
    proxy.heal().await?;
    goes_on(&mut late, held).await;
    others.look();
    let third = lab.client().await?;
    // Does not wait for long: the session is held.
    if let Ok(Ok(mut held)) = timeout(LEASE / 5, third.lock(&known)).await {
        held.look();
        others.look();
        held.look();
        third.discard(held).await;
    }
    other.discard(others).await;
    Ok(())
}

#[tokio::test]
async fn a_commit_that_does_not_look_at_the_owner_is_caught() -> ChaosResult {
    let no_owner = "if name == 'GET' and #ARGV >= 3 and #ARGV[1] == 16 and #ARGV[2] == 12
                      and string.find(key, ':lock:', 1, true) then return ARGV[1] end";
    is_caught(no_owner, Broken::WriteUnderLock, async |lab| {
        late_holder(lab, async |late, held| _ = late.change(held, 0).await).await
    })
    .await
}

#[tokio::test]
async fn a_release_that_does_not_look_at_the_owner_is_caught() -> ChaosResult {
    let no_owner = "if name == 'GET' and #KEYS == 3 and #ARGV == 1 and string.find(key, ':lock:', 1, true) then
                      return ARGV[1]
                    end";
    is_caught(no_owner, Broken::TwoHolders, async |lab| {
        late_holder(lab, async |late, held| late.discard(held).await).await
    })
    .await
}

/// The identity of the version that stands is what the writer expects, whatever stands there.
const NO_VERSION: &str = "
    if name == 'GETRANGE' and key == KEYS[1] and rest[2] == 35 and ARGV[1] and #ARGV[1] == 12 then
      local found = honest()
      if #found == 36 then return string.sub(found, 1, 24) .. ARGV[1] end
    end";

#[tokio::test]
async fn an_update_that_does_not_look_at_the_version_is_caught() -> ChaosResult {
    is_caught(NO_VERSION, Broken::LostUpdate, async |lab| {
        let (mut one, known) = begin(lab).await?;
        let mut other = lab.client().await?;
        for _ in 0..5 {
            // Each begins at what it has written last.
            one.update(&known).await;
            sleep(Duration::from_millis(5)).await;
            other.update(&known).await;
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_write_that_may_create_a_record_is_caught() -> ChaosResult {
    let may_create = "if name == 'GETRANGE' and key == KEYS[1] and rest[2] == 35 and ARGV[1] and #ARGV[1] == 12 then
                        local found = honest()
                        if string.sub(found, 28, 28) ~= 'L' then
                          local revision = struct.pack('>I8', struct.unpack('>I8', ARGV[2]) - 1)
                          return revision .. string.sub(ARGV[2], 9, 24) .. ARGV[1]
                        end
                      end";
    is_caught(may_create, Broken::Resurrection, async |lab| {
        let (mut one, known) = begin(lab).await?;
        one.update(&known).await;
        let other = lab.client().await?;
        let held = lock(&other, &known).await?;
        assert_eq!(other.end(held).await, Outcome::Done);
        one.update(&known).await;
        other.read(&known, false).await;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_touch_that_is_a_plain_pexpire_is_caught() -> ChaosResult {
    let plain = "if name == 'GETRANGE' and #KEYS == 1 and #ARGV == 0 and rest[2] == 43 then
                   local head = honest()
                   if #head == 44 then real.call('PEXPIRE', key, (struct.unpack('>I8', head, 37))) end
                   return ''
                 end";
    is_caught(plain, Broken::OldIdOutlivesGrace, async |lab| {
        lab.settings.grace = Duration::from_millis(500);
        let proxy = Proxy::start(&lab.server).await?;
        let mut client = lab.client().await?;
        let life = Timeouts::new(Duration::from_secs(10), Duration::from_secs(60))?;
        let known = client.create(Some(life)).await.ok_or("it is stored")?;
        // A use is noted when a tenth of the idle timeout is over.
        sleep(Duration::from_millis(1_200)).await;
        let reader = lab.client_at(&proxy.url()).await?;
        proxy.fault_at_script(1, LinkFault::HoldRequests);
        reader.read(&known, false).await;
        timeout(PATIENCE, proxy.fault_happened()).await?;
        let held = lock(&client, &known).await?;
        assert_eq!(client.rotate(held).await.0, Outcome::Done);
        // The touch arrives when an alias stands there.
        proxy.release_held().await;
        sleep(lab.settings.grace + SLACK + LEASE).await;
        client.read(&known, false).await;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_digest_that_is_looked_at_after_the_owner_is_caught() -> ChaosResult {
    let owner_first = "if name == 'GETRANGE' and rest[2] == 165 and #ARGV >= 3 and #ARGV[1] == 16 and #ARGV[2] == 12 then
                         local head = honest()
                         if #head >= 70 and real.call('GET', KEYS[2]) ~= ARGV[1] then
                           return string.sub(head, 1, 69) .. string.char(0)
                         end
                       end";
    is_caught(owner_first, Broken::RefusedButStored, async |lab| {
        let proxy = Proxy::start(&lab.server).await?;
        let (reader, known) = begin(lab).await?;
        let mut deaf = lab.client_at(&proxy.url()).await?;
        let held = lock(&deaf, &known).await?;
        // The commit is stored, and its answer is lost.
        proxy.fault_at_script(1, LinkFault::DropReplies);
        deaf.change(held, 0).await;
        reader.read(&known, false).await;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_old_id_that_shows_what_came_after_a_login_is_caught() -> ChaosResult {
    let shows_it = "if name == 'SETRANGE' and #KEYS >= 8 and key == KEYS[1] and rest[1] == 27 then
                      real.call('SET', key, real.call('GET', KEYS[4]), 'PX', ARGV[4])
                    end";
    is_caught(shows_it, Broken::OldIdShowsLogin, async |lab| {
        let (mut client, known) = begin(lab).await?;
        let held = lock(&client, &known).await?;
        let (outcome, _) = client.login(held, 7, None).await;
        assert_eq!(outcome, Outcome::Done);
        client.read(&known, false).await;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_login_that_does_not_look_at_the_epoch_is_caught() -> ChaosResult {
    let no_epoch = "if name == 'GET' and #ARGV == 13 and string.find(key, ':epoch:', 1, true) then return ARGV[7] end";
    is_caught(no_epoch, Broken::LateLogin, async |lab| {
        let (mut client, known) = begin(lab).await?;
        let ticket = client.begin_login(7).await;
        assert!(ticket.is_some());
        client.revoke_all(7).await;
        let held = lock(&client, &known).await?;
        client.login(held, 7, ticket).await;
        Ok(())
    })
    .await
}

/// From the workers' own processes to the report.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_on_a_broken_library_says_what_was_lost_and_how_to_do_it_again() -> ChaosResult {
    let program = (env!("CARGO_BIN_EXE_chaos_worker").into(), Vec::new());
    let mut options = Options::new(Topology::Single, Duration::from_secs(5), 1, program);
    options.settings.prelude = prelude(NO_VERSION);
    let report = run(&options, |_| {}).await?;
    let lost = |violation: &Violation| violation.broken == Broken::LostUpdate;
    assert!(report.violations.iter().any(lost), "{report}");
    assert!(report.lost > 0 && !report.is_good());
    let told = report.to_string();
    for part in ["LostUpdate", "the schedule:", "--seconds 5 --seed 1"] {
        assert!(told.contains(part), "{part} is not in: {told}");
    }
    assert!(report.timeline()?.ends_with("</svg>\n"));
    Ok(())
}
