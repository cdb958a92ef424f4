//! The text that both ends' compressors know from the beginning (SPDY/3, section 2.6.10.1).

/// Each with its length before it, as a header block has it.
const WORDS: &str = concat!(
    "options,head,post,put,delete,trace,accept,accept-charset,accept-encoding,accept-language,accept-ranges,",
    "age,allow,authorization,cache-control,connection,content-base,content-encoding,content-language,",
    "content-length,content-location,content-md5,content-range,content-type,date,etag,expect,expires,from,",
    "host,if-match,if-modified-since,if-none-match,if-range,if-unmodified-since,last-modified,location,",
    "max-forwards,pragma,proxy-authenticate,proxy-authorization,range,referer,retry-after,server,te,trailer,",
    "transfer-encoding,upgrade,user-agent,vary,via,warning,www-authenticate,method,get,status,200 OK,version,",
    "HTTP/1.1,url,public,set-cookie,keep-alive,origin",
);

const REST: &str = concat!(
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505",
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized",
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable",
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT",
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,",
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.",
);

/// The dictionary.
pub fn dictionary() -> Vec<u8> {
    let mut all = Vec::with_capacity(1423);
    for word in WORDS.split(',') {
        // No word is longer than a byte can say.
        all.extend([0, 0, 0, u8::try_from(word.len()).unwrap_or(u8::MAX)]);
        all.extend(word.as_bytes());
    }
    all.extend(REST.as_bytes());
    all
}

#[cfg(test)]
mod tests {
    use super::dictionary;

    /// What a zlib stream names its dictionary by (RFC 1950).
    fn adler32(bytes: &[u8]) -> u32 {
        let (a, b) = bytes.iter().fold((1, 0), |(a, b), byte| {
            let a = (a + u32::from(*byte)) % 65521;
            (a, (b + a) % 65521)
        });
        b << 16 | a
    }

    #[test]
    fn it_is_the_one_that_clients_use() {
        assert_eq!(dictionary().len(), 1423);
        assert_eq!(adler32(&dictionary()), 0xe3c6_a7c2);
    }
}
