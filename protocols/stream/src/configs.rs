//! New configurations, past everything that waits for the consumer.

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::event::Event;

/// Gives out a source's new configurations when they are read, from any thread. Each also comes in its turn.
#[derive(Debug, Clone)]
pub struct NewConfigs(Receiver<Event>);

impl NewConfigs {
    /// Waits for the next one; None when there will be none any more. Of several that nobody waited for, the last.
    pub fn next(&self) -> Option<Event> {
        self.0.recv().ok()
    }
}

/// The input's end of it.
pub(crate) struct Announcer {
    sender: Sender<Event>,
    newest: Receiver<Event>,
}

impl Announcer {
    pub(crate) fn new() -> (Self, NewConfigs) {
        let (sender, receiver) = bounded(1);
        let newest = receiver.clone();
        (Self { sender, newest }, NewConfigs(receiver))
    }

    pub(crate) fn say(&self, mut event: Event) {
        while let Err(TrySendError::Full(again)) = self.sender.try_send(event) {
            let _ = self.newest.try_recv();
            event = again;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Event {
        Event::Control {
            config: text.into(),
            emitted_at: None,
        }
    }

    #[test]
    fn the_last_of_several_is_given_and_then_the_end() {
        let (announcer, configs) = Announcer::new();
        announcer.say(config("1"));
        announcer.say(config("2"));
        drop(announcer);
        assert!(matches!(configs.next(), Some(Event::Control { config, .. }) if config == b"2"));
        assert!(configs.next().is_none());
    }
}
