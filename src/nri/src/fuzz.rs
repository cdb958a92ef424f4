//! What plugins say, damaged in every way.

use protobuf::Message as _;

use crate::adjust::Merge;
use crate::api::{Call, Container, ContainerAdjustment, CreateContainerResponse, KeyValue};
use crate::bounds::RECEIVED_BYTES;
use crate::mux::{Assembly, FRAME_HEADER, FrameHeader, MuxMessage, MuxMessageKind, TO_RUNTIME, encode};
use crate::name::PluginName;

#[test]
fn frames() {
    let call = Call { method: "RegisterPlugin".to_owned(), payload: vec![1, 2, 3], ..Call::default() };
    let message = MuxMessage { kind: MuxMessageKind::Request, stream: 1, payload: call.write_to_bytes().unwrap() };
    // The protobuf crate makes room for what is announced, in steps of 10 MB, and touches it only when that comes.
    let budget = peapod_fuzz::FuzzBudget { bytes: 32 << 20, ..peapod_fuzz::FuzzBudget::default() };
    peapod_fuzz::target!("frames")
        .budget(budget)
        .seeds([encode(TO_RUNTIME, &message).unwrap()])
        .tokens([&[0xff; 4][..], &[0; 8], &[0, 0, 0, 2]])
        .check(|input| {
            let (mut assembly, mut rest) = (Assembly::new(RECEIVED_BYTES), input);
            while let Some((header, behind)) = rest.split_first_chunk::<FRAME_HEADER>() {
                let Ok(header) = FrameHeader::parse(*header, RECEIVED_BYTES) else { return };
                let (frame, behind) = behind.split_at(header.length.min(behind.len()));
                let Ok(messages) = assembly.take(frame) else { return };
                for message in messages {
                    let _ = Call::parse_from_bytes(&message.payload);
                }
                rest = behind;
            }
        });
}

#[test]
fn adjustments() {
    let variable = KeyValue { key: "A".to_owned(), value: "1".to_owned(), ..KeyValue::default() };
    let adjust = ContainerAdjustment { env: vec![variable], args: vec!["sh".to_owned()], ..Default::default() };
    let response = CreateContainerResponse { adjust: Some(adjust).into(), ..Default::default() };
    // The protobuf crate makes room for ten million numbers when so many are announced, and touches it only when they
    // come.
    let budget = peapod_fuzz::FuzzBudget { bytes: 128 << 20, ..peapod_fuzz::FuzzBudget::default() };
    let (one, two) = (PluginName::of_file("00-a").unwrap(), PluginName::of_file("01-b").unwrap());
    peapod_fuzz::target!("adjustments").budget(budget).seeds([response.write_to_bytes().unwrap()]).check(|input| {
        let Ok(response) = CreateContainerResponse::parse_from_bytes(input) else { return };
        let mut merge = Merge::of(Container::new());
        if merge.add(&response, &one).is_ok() {
            let _ = merge.add(&response, &two);
        }
    });
}
