/* Answers every datagram on the port of argv[1] with what it brought: busybox of Debian has no UDP server. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(argc > 1 ? atoi(argv[1]) : 7000)};
    if (s < 0 || bind(s, (struct sockaddr *)&here, sizeof here)) {
        perror("udpecho");
        return 1;
    }
    for (;;) {
        char data[2048];
        struct sockaddr_storage from;
        socklen_t length = sizeof from;
        ssize_t n = recvfrom(s, data, sizeof data, 0, (struct sockaddr *)&from, &length);
        if (n >= 0)
            sendto(s, data, n, 0, (struct sockaddr *)&from, length);
    }
}
