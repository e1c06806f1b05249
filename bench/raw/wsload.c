// Load for WebSockets: CONNECTIONS clients, each sends a text of SIZE bytes and waits for its echo, for SECONDS.
// Prints the messages that came back and the seconds: wsload PORT CONNECTIONS SIZE SECONDS
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 1024, BUFFER = 65536 };

static unsigned char frame[BUFFER];
static int frame_length, answer_length;
static int got[MOST], fds[MOST];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

// A masked text frame; its echo is the same without the mask.
static void make_frame(int size) {
    int at = 0;
    frame[at++] = 0x81;
    if (size < 126) {
        frame[at++] = 0x80 | size;
        answer_length = 2 + size;
    } else {
        frame[at++] = 0x80 | 126;
        frame[at++] = size >> 8;
        frame[at++] = size & 255;
        answer_length = 4 + size;
    }
    unsigned char mask[4] = {1, 2, 3, 4};
    memcpy(frame + at, mask, 4);
    at += 4;
    for (int i = 0; i < size; i++) frame[at + i] = ('a' + i % 26) ^ mask[i % 4];
    frame_length = at + size;
}

static int open_socket(int port) {
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address)) die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    static const char handshake[] =
        "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    if (send(fd, handshake, sizeof handshake - 1, 0) < 0) die("handshake");
    char head[4096];
    int length = 0;
    do {
        int count = recv(fd, head + length, sizeof head - 1 - length, 0);
        if (count <= 0) die("handshake answer");
        length += count;
        head[length] = 0;
    } while (!strstr(head, "\r\n\r\n"));
    if (!strstr(head, " 101 ")) {
        fprintf(stderr, "not a WebSocket: %.60s\n", head);
        exit(1);
    }
    return fd;
}

static void say(int index) {
    got[index] = 0;
    if (send(fds[index], frame, frame_length, MSG_NOSIGNAL) != frame_length) die("send");
}

int main(int count, char **words) {
    if (count != 5) return 2;
    int port = atoi(words[1]), connections = atoi(words[2]);
    double seconds = atof(words[4]);
    if (connections > MOST) return 2;
    make_frame(atoi(words[3]));
    int epoll = epoll_create1(0);
    for (int i = 0; i < connections; i++) {
        fds[i] = open_socket(port);
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event);
    }
    long messages = 0;
    double start = now(), end = start + seconds;
    for (int i = 0; i < connections; i++) say(i);
    struct epoll_event events[64];
    static unsigned char buffer[BUFFER];
    while (now() < end) {
        int ready = epoll_wait(epoll, events, 64, 100);
        for (int i = 0; i < ready; i++) {
            int index = events[i].data.u32;
            int length = recv(fds[index], buffer, sizeof buffer, MSG_DONTWAIT);
            if (length <= 0) die("recv");
            got[index] += length;
            if (got[index] > answer_length) {
                fprintf(stderr, "an answer of %d bytes, not %d\n", got[index], answer_length);
                return 1;
            }
            if (got[index] == answer_length) {
                messages++;
                say(index);
            }
        }
    }
    printf("%ld %.6f\n", messages, now() - start);
    return 0;
}
