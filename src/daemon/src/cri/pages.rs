//! Lists in messages that every client takes: as many entries in each as fit into a page, made when the client has
//! taken those before.

use std::collections::VecDeque;

use futures_util::stream;
use prost::Message;
use prost::encoding::{encoded_len_varint, key_len};
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;

use super::blocking::blocking;
use super::call::AnswerStream;
use crate::bounds::{PAGE, PAGE_READ};

/// The pages of a list whose entries are in memory.
pub(super) fn from_memory<T: Message + 'static, M: Send + 'static>(
    place: OwnedSemaphorePermit,
    entries: impl Iterator<Item = T> + Send + 'static,
    message: fn(Vec<T>) -> M,
) -> AnswerStream<M> {
    let pages = pages(entries, message).map(move |page| {
        // Taken up to the last page.
        let _ = &place;
        Ok(page)
    });
    Box::pin(tokio_stream::iter(pages))
}

/// The pages of a list whose entries are made of what files say: some are read at a time, on threads that may block.
pub(super) fn from_files<V, T, M>(
    place: OwnedSemaphorePermit,
    what: &'static str,
    of: Vec<V>,
    read: impl Fn(&V) -> T + Clone + Send + 'static,
    message: fn(Vec<T>) -> M,
) -> AnswerStream<M>
where
    V: Send + 'static,
    T: Message + 'static,
    M: Send + 'static,
{
    let begin = (of.into_iter(), VecDeque::new(), read, place);
    Box::pin(stream::try_unfold(begin, move |(mut of, mut ready, read, place)| async move {
        while ready.is_empty() {
            let some: Vec<V> = of.by_ref().take(PAGE_READ).collect();
            if some.is_empty() {
                return Ok(None);
            }
            let read = read.clone();
            let entries = blocking(what, move || some.iter().map(read).collect::<Vec<T>>()).await?;
            ready.extend(pages(entries.into_iter(), message));
        }
        Ok::<_, Status>(ready.pop_front().map(|page| (page, (of, ready, read, place))))
    }))
}

/// Messages of at most a page, or of one entry that is longer.
fn pages<T: Message, M>(entries: impl Iterator<Item = T>, message: fn(Vec<T>) -> M) -> impl Iterator<Item = M> {
    let mut entries = entries.peekable();
    std::iter::from_fn(move || {
        let (mut page, mut bytes) = (Vec::new(), 0);
        while let Some(entry) = entries.next_if(|entry| page.is_empty() || bytes + length(entry) <= PAGE) {
            bytes += length(&entry);
            page.push(entry);
        }
        (!page.is_empty()).then(|| message(page))
    })
}

/// Of an entry in a message's first field.
fn length(entry: &impl Message) -> usize {
    let bytes = entry.encoded_len();
    key_len(1) + encoded_len_varint(u64::try_from(bytes).unwrap_or(u64::MAX)) + bytes
}

#[cfg(test)]
mod tests {
    use peapod_api::v1::{Container, StreamContainersResponse};
    use tokio_stream::StreamExt as _;

    use super::*;

    fn container(number: usize, bytes: usize) -> Container {
        let annotations = [("key".to_owned(), "v".repeat(bytes))].into();
        Container { id: number.to_string(), annotations, ..Container::default() }
    }

    fn place() -> OwnedSemaphorePermit {
        std::sync::Arc::new(tokio::sync::Semaphore::new(1)).try_acquire_owned().unwrap()
    }

    fn response(containers: Vec<Container>) -> StreamContainersResponse {
        StreamContainersResponse { containers }
    }

    fn ids(pages: &[StreamContainersResponse]) -> Vec<String> {
        pages.iter().flat_map(|page| &page.containers).map(|container| container.id.clone()).collect()
    }

    fn numbers(count: usize) -> Vec<String> {
        (0..count).map(|number| number.to_string()).collect()
    }

    #[tokio::test]
    async fn eleven_thousand_entries_come_once_each_in_full_pages() {
        const COUNT: usize = 11_000;
        let entries = (0..COUNT).map(|number| container(number, 1000 + number % 3000));
        let pages: Vec<_> = from_memory(place(), entries, response).map(Result::unwrap).collect().await;
        assert_eq!(ids(&pages), numbers(COUNT));
        let lengths: Vec<_> = pages.iter().map(Message::encoded_len).collect();
        assert!(lengths.iter().all(|length| *length <= PAGE), "{lengths:?}");
        let (_, full) = lengths.split_last().unwrap();
        assert!(full.iter().all(|length| *length > PAGE - 5000), "{lengths:?}");
        let read = |number: &usize| container(*number, 1000);
        let read = from_files(place(), "numbers", (0..COUNT).collect(), read, response);
        assert_eq!(ids(&read.map(Result::unwrap).collect::<Vec<_>>().await), numbers(COUNT));
    }

    #[tokio::test]
    async fn an_entry_longer_than_a_page_comes_alone_and_an_empty_list_has_no_page() {
        let entries = [10, PAGE, 10, 10].into_iter().enumerate().map(|(number, bytes)| container(number, bytes));
        let pages: Vec<_> = from_memory(place(), entries, response).map(Result::unwrap).collect().await;
        let counts: Vec<_> = pages.iter().map(|page| page.containers.len()).collect();
        assert_eq!((ids(&pages), counts), (numbers(4), vec![1, 1, 2]));
        assert!(from_memory(place(), std::iter::empty(), response).next().await.is_none());
        assert!(
            from_files(place(), "nothing", Vec::<usize>::new(), |_| container(0, 0), response).next().await.is_none()
        );
    }

    #[tokio::test]
    async fn a_page_is_made_when_it_is_asked_for() {
        let made = std::sync::Arc::new(std::sync::atomic::AtomicUsize::default());
        let count = std::sync::Arc::clone(&made);
        let entries = (0..1000).map(move |number| {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            container(number, PAGE / 2)
        });
        let mut stream = from_memory(place(), entries, response);
        stream.next().await.unwrap().unwrap();
        assert!(made.load(std::sync::atomic::Ordering::Relaxed) <= 3);
    }
}
