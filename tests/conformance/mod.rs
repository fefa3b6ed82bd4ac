//! What every database must do: one suite for each room of the store, written once against
//! `Arc<dyn Store>` and run on each database by [`conformance_tests!`].

pub(crate) mod account_keys;
pub(crate) mod audit;
pub(crate) mod authorizations;
pub(crate) mod contacts;
pub(crate) mod fixture;
pub(crate) mod folding;
pub(crate) mod grants;
pub(crate) mod inbox;
pub(crate) mod invitations;
pub(crate) mod journal;
pub(crate) mod leases;
pub(crate) mod links;
pub(crate) mod notices;
pub(crate) mod outbox;
pub(crate) mod pauses;
pub(crate) mod privacy;
pub(crate) mod recovery;
pub(crate) mod replays;
pub(crate) mod reports;
pub(crate) mod rings;

use std::sync::Arc;

use async_trait::async_trait;
use vcc_link::store::Store;

/// An empty database of its own for one test: all in which databases differ.
///
/// The store is set up without a margin for late answers (`refresh_answer_timeout` is zero), so
/// that a claim expires when its time to send is over.
#[async_trait]
pub(crate) trait Harness: Send + Sync {
    /// The store.
    fn store(&self) -> Arc<dyn Store>;

    /// The same database again, as another process opens it.
    async fn other(&self) -> Arc<dyn Store>;
}

/// Makes a test of each conformance test. `$run` is an `async fn(test)` that makes the harness, runs
/// the test and cleans up; `conformance` must be a module beside it, in a module `store`.
macro_rules! conformance_tests {
    ($run:path) => {
        $crate::store::conformance::conformance_tests! {
            $run;
            account_keys:
                of_two_makers_of_a_key_one_wins,
                no_call_is_taken_in_under_a_key_that_is_gone,
                nothing_is_told_under_a_key_that_is_gone,
                a_key_is_destroyed_once_nothing_needs_it,
                what_a_destroyed_key_sealed_opens_nowhere;
            audit:
                each_call_is_in_the_ledger_once,
                a_calls_end_is_found_among_its_events,
                a_call_that_does_not_end_is_closed_once,
                what_does_not_go_on_is_counted;
            authorizations:
                a_code_is_redeemed_once,
                an_authorization_ends_with_its_link,
                loose_authorizations_are_found_until_closed,
                a_portals_token_is_taken_once,
                changes_of_a_link_are_its_history;
            contacts:
                contacts_are_changed_one_by_one,
                a_removed_contact_leaves_a_line_only;
            folding:
                events_fold_in_any_order_and_cut;
            inbox:
                what_is_appended_is_due_once,
                a_higher_revision_is_due_again,
                a_revision_revives_nothing_that_could_double,
                offsets_never_move_back,
                pages_of_due_calls_are_in_order,
                the_first_answer_stands,
                every_begin_is_told_once,
                a_call_too_old_is_taken_in_while_it_is_known,
                no_offset_moves_past_what_is_missing,
                an_offset_moves_on_purpose,
                only_what_is_news_is_told,
                other_processes_are_woken,
                only_what_is_over_is_forgotten;
            invitations:
                only_so_many_invitations_are_open,
                a_revoked_invitation_is_not_used,
                an_invitation_is_used_once,
                a_login_by_invitation_waits_for_an_admin;
            journal:
                an_attempt_begins_once,
                an_open_attempt_is_kept,
                an_attempt_is_refused_for_each_reason,
                a_task_is_changed_by_one_attempt_at_a_time,
                an_outcome_is_taken_once,
                retries_are_due_at_their_time,
                an_attempt_in_doubt_stays_open,
                a_later_revision_waits_for_the_attempt,
                unsent_outcomes_need_a_waiting_call,
                a_parked_call_stays_parked,
                nothing_is_parked_by_an_old_generation,
                parked_calls_come_page_by_page,
                a_lost_lease_changes_nothing;
            leases:
                an_expired_lease_is_taken_with_a_new_epoch,
                an_own_expired_lease_keeps_its_epoch,
                what_is_released_is_free,
                a_lease_that_reaches_too_far_is_none,
                who_leaves_counts_no_more,
                no_shard_has_two_owners;
            links:
                a_link_is_stored_and_changed,
                work_moves_with_its_account,
                unlinking_leaves_calls_parked,
                health_is_changed_by_the_owner,
                a_profile_is_kept,
                only_news_of_a_profile_is_told,
                only_what_stands_is_told_again,
                an_outcome_is_taken_after_a_relink,
                no_call_is_left_behind_by_a_move,
                an_api_user_serves_only_so_many,
                a_grant_is_kept_until_it_is_given_up;
            grants:
                one_claim_is_granted_at_a_time,
                new_tokens_are_kept,
                a_lost_refresh_leaves_one_last_step,
                a_late_end_leaves_the_next_claim_alone,
                the_last_step_is_not_taken_ahead_of_need,
                old_tokens_of_quiet_links_are_found,
                a_claim_needs_the_lease_and_the_grant,
                a_refused_approval_makes_the_others_suspected;
            notices:
                a_change_of_a_link_is_looked_at_once,
                what_is_held_is_looked_at_later,
                a_notice_is_claimed_by_one,
                a_notice_comes_again_until_it_is_over,
                a_test_is_added_once;
            outbox:
                events_come_in_order,
                published_events_are_marked_by_the_owner;
            pauses:
                a_pause_stands_until_it_is_resumed,
                a_pause_ends_at_its_time;
            privacy:
                only_what_is_over_is_erased,
                bodies_outlive_no_call_that_is_over,
                an_accounts_history_goes_once_it_is_unlinked,
                quarantined_bytes_have_an_age_of_their_own;
            recovery:
                nothing_is_sent_before_it_is_recognised,
                a_database_behind_kafka_recovers,
                a_database_with_a_lower_mark_recovers,
                an_offset_moved_on_purpose_tells_nothing,
                what_may_have_been_sent_is_looked_for_first,
                refresh_tokens_are_in_doubt;
            replays:
                a_dead_call_is_put_back_once,
                a_call_that_may_have_a_task_is_looked_for,
                what_cannot_be_put_back_stays,
                a_replay_goes_page_by_page_and_is_noted,
                quarantined_bytes_are_sent_again_once;
            reports:
                open_calls_are_counted_by_state,
                calls_are_listed_by_filter,
                a_call_has_a_story,
                what_is_not_stored_leaves_traces;
            rings:
                every_sealed_value_is_paged,
                only_an_unchanged_value_is_replaced,
                keys_are_rotated_under_load;
        }
    };
    ($run:path; $($room:ident: $($test:ident),+ $(,)?;)+) => {
        $(mod $room {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                $run(|harness| Box::pin(async move {
                    $crate::store::conformance::$room::$test(harness).await;
                })).await;
            })+
        })+
    };
}
pub(crate) use conformance_tests;
