//! Trace context in and out of events: W3C `traceparent`, as CloudEvents' distributed tracing
//! extension carries it.

use std::collections::HashMap;

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The name of the one field.
const TRACEPARENT: &str = "traceparent";

/// Makes a span part of the trace of an event's producer. Before the span is entered; a text that
/// is no trace context changes nothing.
pub fn continue_from(span: &Span, traceparent: &str) {
    let context = context_of(traceparent);
    if context.span().span_context().is_valid() {
        // Fails where traces are off: then there is no trace to be part of.
        let _ = span.set_parent(context);
    }
}

/// Notes on the span of a batch that it also works for this event.
pub fn link_to(span: &Span, traceparent: &str) {
    let context = context_of(traceparent).span().span_context().clone();
    if context.is_valid() {
        span.add_link(context);
    }
}

/// The trace context of a span, for an event that it causes; `None` where traces are off.
pub fn traceparent(span: &Span) -> Option<String> {
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&span.context(), &mut carrier);
    carrier.remove(TRACEPARENT)
}

/// The context that a text describes; an invalid one if it describes none.
fn context_of(traceparent: &str) -> opentelemetry::Context {
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    // Not within the current context: only the event's own trace counts.
    TraceContextPropagator::new().extract_with_context(&opentelemetry::Context::new(), &carrier)
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    const PRODUCER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    /// Runs with traces on.
    fn traced<T>(run: impl FnOnce() -> T) -> T {
        let tracer = SdkTracerProvider::builder().build().tracer("test");
        let layer = tracing_opentelemetry::layer().with_tracer(tracer);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), run)
    }

    #[test]
    fn a_span_continues_its_producers_trace() {
        let ours = traced(|| {
            let span = tracing::info_span!("ingest");
            continue_from(&span, PRODUCER);
            traceparent(&span)
        });
        let ours = ours.expect("traces are on");
        assert_eq!(ours[..36], PRODUCER[..36], "same trace");
        assert_ne!(ours[36..52], PRODUCER[36..52], "a span of its own");
    }

    #[test]
    fn nonsense_and_silence_are_harmless() {
        let own = traced(|| {
            let span = tracing::info_span!("ingest");
            continue_from(&span, "not a trace");
            link_to(&span, "");
            traceparent(&span)
        });
        assert!(own.is_some_and(|own| !own.contains("not")));
        let span = tracing::info_span!("ingest");
        continue_from(&span, PRODUCER);
        assert_eq!(traceparent(&span), None, "traces are off");
    }
}
