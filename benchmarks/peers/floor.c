/* The least that a delivery can cost: one send() for each viewer of each event, and nothing else.

   A connection that begins with "GET /job-N" is a viewer of job N and gets the head of an event
   stream. Any other connection is a source of lines "N frame": the frame is sent, as one chunk, to
   every viewer of job N. Usage: floor PORT. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_FDS = 65536, MAX_JOBS = 65536, BUFFER = 1 << 16, BATCH = 256 };

struct viewers {
    int *fds, count, room;
};

/* A line of a source may come in pieces. */
struct source {
    char *data;
    size_t waiting;
};

static struct viewers jobs[MAX_JOBS];
static struct source sources[MAX_FDS];
static char is_viewer[MAX_FDS];

static void watch(int fd, int job) {
    static const char head[] =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        "6\r\n: ok\n\n\r\n";
    struct viewers *v = &jobs[job];
    if (v->count == v->room) {
        v->room = v->room ? 2 * v->room : 1;
        v->fds = realloc(v->fds, v->room * sizeof *v->fds);
        if (!v->fds) exit(1);
    }
    v->fds[v->count++] = fd;
    is_viewer[fd] = 1;
    if (send(fd, head, sizeof head - 1, MSG_NOSIGNAL) < 0) perror("send");
}

static void deliver(const char *line, size_t length) {
    char chunk[BUFFER], *frame;
    long job = strtol(line, &frame, 10);
    if (job < 0 || job >= MAX_JOBS || length > BUFFER - 64) return;
    size_t size = line + length - ++frame;
    int n = sprintf(chunk, "%zx\r\ndata: %.*s\n\n\r\n", size + 8, (int)size, frame);
    for (int i = 0; i < jobs[job].count; i++)
        if (send(jobs[job].fds[i], chunk, n, MSG_NOSIGNAL | MSG_DONTWAIT) != n) perror("send");
}

static void feed(struct source *from, const char *data, size_t size) {
    if (!from->data && !(from->data = malloc(2 * BUFFER))) exit(1);
    memcpy(from->data + from->waiting, data, size);
    from->waiting += size;
    char *line = from->data, *end;
    while ((end = memchr(line, '\n', from->data + from->waiting - line))) {
        deliver(line, end - line);
        line = end + 1;
    }
    from->waiting -= line - from->data;
    memmove(from->data, line, from->waiting);
    if (from->waiting >= BUFFER) from->waiting = 0;
}

int main(int argc, char **argv) {
    static char data[BUFFER + 1];
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0), poll = epoll_create1(0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[BATCH];
    address.sin_port = htons(argc > 1 ? atoi(argv[1]) : 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 8192)) {
        perror("listen");
        return 1;
    }
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(poll, events, BATCH, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                fd = accept4(listener, NULL, NULL, 0);
                if (fd < 0 || fd >= MAX_FDS) continue;
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                is_viewer[fd] = 0;
                sources[fd].waiting = 0;
                event.data.fd = fd;
                epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
                continue;
            }
            ssize_t size = recv(fd, data, BUFFER, 0);
            if (size <= 0) {
                close(fd); /* a viewer that goes is the end of the run: nothing is sent then */
                continue;
            }
            data[size] = 0;
            int job;
            if (is_viewer[fd]) continue;
            if (sscanf(data, "GET /job-%d", &job) == 1 && job >= 0 && job < MAX_JOBS)
                watch(fd, job);
            else
                feed(&sources[fd], data, size);
        }
    }
}
