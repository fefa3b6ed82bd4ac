//! The ordinary day: every kind of call, in orgs with and without a unique field.

use serde_json::json;

use super::calls::Call;
use super::world::{End, KNOWN, NOBODY, SEVERAL, World};
use crate::environment::produce_with_kafkas_own_tool;

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_call_ends_as_it_should() {
    ordinary_day(World::start("ordinary").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_call_ends_as_it_should_on_a_file() {
    ordinary_day(World::start_on_file("ordinary_file").await).await;
}

/// Every kind of call, in every kind of org.
async fn ordinary_day(mut world: World) {
    world.link("acme", "api@acme.example");
    world.link("acme-two", "api@acme.example");
    world.link("beta", "api@beta.example");
    world.work(1).await;

    for account in ["acme", "acme-two", "beta"] {
        every_kind(&mut world, account);
    }
    let stranger = Call::new("stranger", KNOWN[0]);
    world.ring(&stranger);
    world.end(&stranger, 0, End::Skipped("unlinked"));

    let mut traced = Call::new("beta", KNOWN[0]);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    traced.traceparent = Some(format!("00-{trace}-00f067aa0ba902b7-01"));
    world.end(&traced, 0, End::Logged);
    world.flush();
    world.settled().await;
    let told = world.of(&traced);
    assert!(
        told.iter().all(|p| p.header("traceparent").contains(trace)),
        "{told:?}"
    );

    // What is learnt later changes the Task that there is.
    let later = traced
        .clone()
        .ending("disposition", json!({"label": "Sold"}));
    world.end(&later, 1, End::Logged);
    world.settled().await;
    let tasks = world.control().tasks(Some("Beta")).expect("the Tasks");
    let task = tasks
        .iter()
        .find(|t| t["CallObject"] == traced.task_key().as_str());
    assert_eq!(task.expect("its Task")["CallDisposition"], "Sold");

    let foreign = Call::new("acme", KNOWN[1]);
    produce_with_kafkas_own_tool(&world.calls_topic(), &foreign.ended(0).console_line());
    world
        .until("the foreign producer's call", |w| {
            w.of(&foreign)
                .iter()
                .any(super::results::Published::is_terminal)
                .then_some(())
        })
        .await;
    world.end(&foreign, 0, End::Logged);
    world.finish().await;
}

/// An agent dials twice from one Task: it becomes one call's, and the other gets its own.
#[tokio::test(flavor = "multi_thread")]
async fn two_calls_from_one_task_get_a_task_each() {
    let mut world = World::start("dialled").await;
    world.link("acme", "api@acme.example");
    let task = planned_task(&world, "Acme");
    for _ in 0..2 {
        world.end(&dialled_from("acme", &task), 0, End::Logged);
    }
    world.flush();
    // They wait for the worker, and so go out together.
    world.work(1).await;
    world.settled().await;
    let tasks = world.control().tasks(Some("Acme")).expect("the Tasks");
    assert_eq!(tasks.len(), 2, "the planned one, and one more: {tasks:?}");
    world.finish().await;
}

/// The first call's adoption is answered by nobody, and commits late: the second call, dialled from the
/// same Task meanwhile, gets one of its own, which the late commit leaves alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_adoption_takes_nobodys_task() {
    let mut world = World::start("late_adoption").await;
    world.link("beta", "api@beta.example");
    let task = planned_task(&world, "Beta");
    let late = json!({"type": "commit_late", "ms": 3000});
    world.fault(json!({"kind": "collectionsUpdate", "times": 1, "action": late}));
    world.work(1).await;
    let first = dialled_from("beta", &task);
    world.end(&first, 0, End::Logged);
    world.flush();
    world
        .until("the first adoption on its way", |w| {
            let faults = w.control().faults();
            faults.iter().any(|fault| fault.fired > 0).then_some(())
        })
        .await;
    world.end(&dialled_from("beta", &task), 0, End::Logged);
    world.flush();
    world.settled().await;
    let tasks = world.control().tasks(Some("Beta")).expect("the Tasks");
    assert_eq!(tasks.len(), 2, "the planned one, and one more: {tasks:?}");
    let planned = tasks.iter().find(|t| t["Id"] == task.as_str());
    let planned = planned.expect("the planned Task");
    assert_eq!(planned["CallObject"], first.task_key());
    world.finish().await;
}

/// Somebody deletes the Task before more is known of its call: it is not made again, and that is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_was_deleted_is_not_made_again() {
    let mut world = World::start("deleted").await;
    world.link("acme", "api@acme.example");
    world.link("beta", "api@beta.example");
    world.work(1).await;
    let calls = ["acme", "beta"].map(|account| Call::new(account, KNOWN[0]));
    for call in &calls {
        world.end(call, 0, End::Logged);
    }
    world.flush();
    world.settled().await;
    for task in world.control().tasks(None).expect("the Tasks") {
        let id = task["Id"].as_str().expect("an id");
        world.control().delete_task(id).expect("deleted");
    }
    for call in calls {
        let sold = call.ending("disposition", json!({"label": "Sold"}));
        world.end(&sold, 1, End::Dead("refused"));
    }
    world.flush();
    world.settled().await;
    world.finish().await;
}

/// A Task that an agent planned, in an org.
fn planned_task(world: &World, org: &str) -> String {
    let planned = json!({"type": "Task", "Subject": "Call Ada back", "Status": "Open"});
    let planned = planned.as_object().cloned().expect("a map");
    let made = world.control().add_records(org, vec![planned]);
    made.expect("a Task")[0].to_string()
}

/// A call that an agent dialled from a Task.
fn dialled_from(account: &str, task: &str) -> Call {
    let context = json!({"existingTaskId": task, "origin": "click_to_dial"});
    Call::new(account, KNOWN[0])
        .with("direction", json!("outbound"))
        .with("crmContext", context)
}

/// One call of every kind of one account.
fn every_kind(world: &mut World, account: &str) {
    for number in [KNOWN[0], SEVERAL, NOBODY, "+442079460010", "+442079460011"] {
        let call = Call::new(account, number);
        world.ring(&call);
        world.end(&call, 0, End::Logged);
    }
    let withheld = Call::new(account, NOBODY).with("from", json!({"presentation": "restricted"}));
    world.ring(&withheld);
    world.end(&withheld, 0, End::Logged);
    let internal = Call::new(account, KNOWN[0]).with("direction", json!("internal"));
    world.end(&internal, 0, End::Skipped("internal"));
    let missed = Call::new(account, KNOWN[1])
        .ending("outcome", json!("missed"))
        .ending("handledByAgentId", json!(null));
    world.end(&missed, 0, End::Skipped("policy"));
    // The end overtakes the begin, and the platform repeats itself.
    let twice = Call::new(account, KNOWN[2]);
    world.end(&twice, 0, End::Logged);
    world.ring(&twice);
    world.end(&twice, 0, End::Logged);
    world.ring(&Call::new(account, KNOWN[3]));
}
