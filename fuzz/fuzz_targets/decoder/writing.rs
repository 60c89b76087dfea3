//! Any messages as frames: what is written is read back, and what cannot be read back is refused.

use torq_message_sink::Framing;

use crate::reference::{First, Wire};
use crate::{Case, LONGEST, codec};

impl<F: Framing + Copy> Case<F> {
    /// The stream of the messages that this framing carries, and these messages.
    pub(crate) fn write(&self, messages: &[&[u8]]) -> (Vec<u8>, Vec<Vec<u8>>) {
        let (mut stream, mut sent) = (Vec::new(), Vec::new());
        for message in messages {
            let mut forms = vec![message.to_vec()];
            if matches!(self.wire, Wire::Own) {
                // So that some of them are as long as they say.
                forms.push([&[(message.len() + 1) as u8], *message].concat());
            }
            for message in forms {
                if let Some(frame) = self.frame(&message)
                    && stream.len() < LONGEST
                {
                    stream.extend(frame);
                    sent.push(message);
                }
            }
        }
        (stream, sent)
    }

    /// The message as a frame, unless it is refused.
    fn frame(&self, message: &[u8]) -> Option<Vec<u8>> {
        let size = self.framing.frame_size(message.len()).expect("a small message");
        let fits = size <= self.framing.max_frame_size();
        // Also the empty message that is refused takes room.
        let takes = message.len().max(matches!(self.wire, Wire::Own).into());
        assert_eq!(fits, takes <= self.max, "one limit for payloads and for frames");
        if !fits {
            return None;
        }
        let mut frame = vec![0xa5; size];
        let written = self.framing.write_frame(message, message.len(), &mut frame);
        assert_eq!(written.is_ok(), self.wire.carries(self.max, message));
        assert!(F::REFUSES || written.is_ok());
        written.ok()?;
        assert_eq!(self.agreed(&frame), First::Frame { payload: message, len: size });
        codec::writes_the_same(self.wire, message, &frame);
        Some(frame)
    }
}
