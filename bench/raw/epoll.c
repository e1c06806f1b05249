/* The limit: what the kernel alone costs for one request and one response.
 *
 * One thread, one level-triggered epoll, one read and one write a request, epoll_ctl only at accept and when a response
 * does not fit into the socket. Nothing is parsed: a request ends with its empty line, or a fixed number of body bytes
 * after it. The response is made once and only its Date changes, once a second. Requests are not pipelined.
 *
 *   epoll PORT hello        13 bytes
 *   epoll PORT close        13 bytes, then the connection is closed
 *   epoll PORT post BYTES   reads a body of BYTES, answers with its length
 *   epoll PORT big BYTES    BYTES of body from memory
 *   epoll PORT file PATH    the file by sendfile, opened for each request
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 256, READ_SIZE = 64 * 1024, MAX_CONNECTIONS = 65536, DATE_LENGTH = 29 };

/* What one connection remembers between two wake-ups; the table is indexed by descriptor. */
struct connection {
    int matched;     /* bytes of the empty line seen at the end of the last read, 0..3 */
    long body_left;  /* body bytes still to come, 0 while a head is awaited */
    long sent;       /* bytes of the response already sent; 0 <= sent <= response_size + file_size */
    int file;        /* descriptor of the file that is being sent, -1 for none */
    bool waiting;    /* EPOLLOUT instead of EPOLLIN is registered */
};

static struct connection connections[MAX_CONNECTIONS];
static char *response;
static char *date_in_response;
static long response_size;
static long expected_body;
static const char *file_path;
static long file_size;
static bool close_after;
static int poller;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void write_date(void) {
    static time_t written;
    time_t now = time(NULL);
    if (now == written) return;
    written = now;
    char text[DATE_LENGTH + 1];
    strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", gmtime(&now));
    memcpy(date_in_response, text, DATE_LENGTH);
}

/* The head has the fields of a real server's answer, so that the sizes on the wire are those of the others. */
static void make_response(const char *body, long body_size, long declared) {
    char head[512];
    int head_size = snprintf(head, sizeof head,
                             "HTTP/1.1 200 OK\r\nServer: native\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
                             "%sContent-Type: text/plain\r\nContent-Length: %ld\r\n\r\n",
                             close_after ? "Connection: close\r\n" : "", declared);
    response_size = head_size + body_size;
    response = malloc(response_size);
    if (!response) fail("malloc");
    memcpy(response, head, head_size);
    if (body) memcpy(response + head_size, body, body_size);
    else memset(response + head_size, 'x', body_size);
    date_in_response = memmem(response, head_size, "Date: ", 6) + 6;
}

static void choose_mode(int count, char **arguments) {
    const char *mode = arguments[2];
    const char *value = count > 3 ? arguments[3] : "";
    if (!strcmp(mode, "hello") || !strcmp(mode, "close")) {
        close_after = *mode == 'c';
        make_response("Hello, World!", 13, 13);
    } else if (!strcmp(mode, "post") && atol(value) > 0) {
        expected_body = atol(value);
        make_response(value, strlen(value), strlen(value));
    } else if (!strcmp(mode, "big") && atol(value) > 0) {
        make_response(NULL, atol(value), atol(value));
    } else if (!strcmp(mode, "file") && *value) {
        struct stat status;
        file_path = value;
        if (stat(file_path, &status)) fail(file_path);
        file_size = status.st_size;
        make_response("", 0, file_size);
    } else {
        fprintf(stderr, "unknown mode: %s %s\n", mode, value);
        exit(2);
    }
}

static int listen_on(int port) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* what is accepted inherits it */
    if (bind(listener, (struct sockaddr *)&address, sizeof address)) fail("bind");
    if (listen(listener, 4096)) fail("listen");
    return listener;
}

static void watch(int fd, int operation, unsigned events) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(poller, operation, fd, &event)) fail("epoll_ctl");
}

static void accept_one(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    if (fd >= MAX_CONNECTIONS) {
        close(fd);
        return;
    }
    connections[fd] = (struct connection){.file = -1};
    watch(fd, EPOLL_CTL_ADD, EPOLLIN);
}

static void hang_up(int fd) {
    if (connections[fd].file >= 0) close(connections[fd].file);
    close(fd);
}

/* One write or sendfile; -1 when the socket is full or broken (errno says which). */
static long send_part(int fd, struct connection *connection) {
    if (connection->sent < response_size)
        return send(fd, response + connection->sent, response_size - connection->sent,
                    MSG_NOSIGNAL | (file_path ? MSG_MORE : 0));
    return sendfile(fd, connection->file, NULL, response_size + file_size - connection->sent);
}

static void respond(int fd) {
    struct connection *connection = &connections[fd];
    if (file_path && connection->file < 0) connection->file = open(file_path, O_RDONLY | O_CLOEXEC);
    while (connection->sent < response_size + file_size) {
        long count = send_part(fd, connection);
        if (count < 0 && errno == EAGAIN) {
            if (!connection->waiting) watch(fd, EPOLL_CTL_MOD, EPOLLOUT);
            connection->waiting = true;
            return;
        }
        if (count <= 0) {
            hang_up(fd);
            return;
        }
        connection->sent += count;
    }
    connection->sent = 0;
    if (connection->file >= 0) close(connection->file);
    connection->file = -1;
    if (connection->waiting) watch(fd, EPOLL_CTL_MOD, EPOLLIN);
    connection->waiting = false;
    if (close_after) hang_up(fd);
}

/* How many bytes of `data` belong to the head, its empty line included; -1 while that line has not come. */
static long end_of_head(struct connection *connection, const char *data, long size) {
    static const char end[] = "\r\n\r\n";
    if (connection->matched == 0) {
        const char *found = memmem(data, size, end, 4);
        if (found) return found + 4 - data;
        data += size > 3 ? size - 3 : 0;
        size = size > 3 ? 3 : size;
    }
    for (long i = 0; i < size; i++) {
        connection->matched = data[i] == end[connection->matched] ? connection->matched + 1 : data[i] == '\r';
        if (connection->matched == 4) {
            connection->matched = 0;
            return i + 1;
        }
    }
    return -1;
}

static void receive(int fd) {
    static char data[READ_SIZE];
    struct connection *connection = &connections[fd];
    long size = read(fd, data, sizeof data);
    if (size <= 0) {
        if (size == 0 || errno != EAGAIN) hang_up(fd);
        return;
    }
    if (connection->body_left) {
        connection->body_left -= size;
    } else {
        long head = end_of_head(connection, data, size);
        if (head < 0) return;
        connection->body_left = expected_body ? expected_body - (size - head) : 0;
    }
    if (connection->body_left <= 0) {
        connection->body_left = 0;
        respond(fd);
    }
}

int main(int count, char **arguments) {
    if (count < 3) {
        fprintf(stderr, "usage: epoll PORT hello|close|post BYTES|big BYTES|file PATH\n");
        return 2;
    }
    struct rlimit files = {.rlim_cur = MAX_CONNECTIONS, .rlim_max = MAX_CONNECTIONS};
    setrlimit(RLIMIT_NOFILE, &files); /* as many as the limit allows; the harness raises it where it can */
    choose_mode(count, arguments);
    int listener = listen_on(atoi(arguments[1]));
    poller = epoll_create1(EPOLL_CLOEXEC);
    watch(listener, EPOLL_CTL_ADD, EPOLLIN);
    struct epoll_event events[BATCH];
    for (;;) {
        int ready = epoll_wait(poller, events, BATCH, -1);
        write_date();
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) accept_one(listener);
            else if (connections[fd].waiting) respond(fd);
            else receive(fd);
        }
    }
}
