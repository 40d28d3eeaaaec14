/* Viewers for load: thousands of open streams, watched by one thread that does little else.

   Usage: crowd PORT REQUESTS READY NOTE AT_ONCE

   REQUESTS is a file of whole HTTP requests, a NUL after each; one stream is opened for each, AT_ONCE
   at a time. A viewer is live when it has received READY. Then, of every stamp (an @, 19 digits, a
   quote) that comes, NOTE says what is noted: "each": how old it is. "shown": how old the one before
   it had become, when several come at once only that of the newest.

   When all are live or refused it prints "LIVE REFUSED NANOSECONDS". Then it answers lines:
   "count"        the number of notes since they were asked for
   "shown STAMP"  the number of viewers whose newest stamp is at least that
   "seen"         "NOTES LOST KEEPALIVES", then the notes as 64-bit integers; and forgets the notes
   and ends when there are no more. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { TAIL = 64, BUFFER = 1 << 18, BATCH = 1024, DIGITS = 19, STAMP = DIGITS + 2 };
enum state { CONNECTING, WAITING, LIVE, GONE };

struct viewer {
    int fd;
    enum state state;
    int kept; /* bytes of tail: what may be the beginning of a mark or a stamp */
    char tail[TAIL];
    const char *request;
    int64_t shown;
};

static struct viewer *viewers;
static int count, opened, connecting, live, refused, lost, announced, poller, port;
static int64_t keepalives, began, *notes;
static size_t noted, room;
static const char *ready;
static int note_each;

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void *must(void *memory) {
    if (memory) return memory;
    perror("memory");
    exit(1);
}

static void note(int64_t age) {
    if (noted == room) notes = must(realloc(notes, (room = room ? 2 * room : 1 << 16) * sizeof *notes));
    notes[noted++] = age;
}

static void leave(struct viewer *v) {
    if (v->state == CONNECTING) connecting--;
    if (v->state == LIVE) lost++;
    else refused++;
    v->state = GONE;
    close(v->fd);
}

static void open_one(struct viewer *v) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = v};
    int one = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    v->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    v->state = CONNECTING;
    connecting++;
    setsockopt(v->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (v->fd < 0 || (connect(v->fd, (void *)&address, sizeof address) && errno != EINPROGRESS))
        leave(v);
    else
        epoll_ctl(poller, EPOLL_CTL_ADD, v->fd, &event);
}

static void ask(struct viewer *v) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = v};
    ssize_t size = strlen(v->request);
    if (send(v->fd, v->request, size, MSG_NOSIGNAL) != size) {
        leave(v);
        return;
    }
    connecting--;
    v->state = WAITING;
    epoll_ctl(poller, EPOLL_CTL_MOD, v->fd, &event);
}

static void keep(struct viewer *v, const char *from, const char *end) {
    v->kept = end - from;
    memcpy(v->tail, from, v->kept);
}

static void look_for_ready(struct viewer *v, const char *data, const char *end) {
    size_t length = strlen(ready);
    if (end - data >= 12 && !memcmp(data, "HTTP/1.", 7) && memcmp(data + 8, " 200", 4)) {
        leave(v);
    } else if (memmem(data, end - data, ready, length)) {
        v->state = LIVE;
        live++;
    } else {
        keep(v, end - data < (ssize_t)length ? data : end - length + 1, end);
    }
}

static void look_for_stamps(struct viewer *v, const char *data, const char *end) {
    int64_t time = now(), newest = 0;
    const char *at = data;
    while ((at = memchr(at, '@', end - at))) {
        if (end - at < STAMP) {
            keep(v, at, end);
            break;
        }
        int64_t stamp = strtoll(at + 1, NULL, 10);
        at += STAMP;
        if (note_each) note(time - stamp);
        newest = stamp;
    }
    if (newest && !note_each && v->shown) note(time - v->shown);
    if (newest) v->shown = newest;
    else if (memmem(data, end - data, ": keepalive", 11)) keepalives++;
}

static void receive(struct viewer *v) {
    static char buffer[BUFFER + 1];
    memcpy(buffer, v->tail, v->kept);
    ssize_t size = recv(v->fd, buffer + v->kept, BUFFER - v->kept, 0);
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) {
        leave(v);
        return;
    }
    char *end = buffer + v->kept + size;
    *end = 0;
    v->kept = 0;
    if (v->state == LIVE) look_for_stamps(v, buffer, end);
    else look_for_ready(v, buffer, end);
}

static void answer(char *line) {
    if (!strncmp(line, "count", 5)) {
        printf("%zu\n", noted);
    } else if (!strncmp(line, "shown", 5)) {
        int64_t stamp = strtoll(line + 5, NULL, 10);
        int up_to_date = 0;
        for (int i = 0; i < count; i++) up_to_date += viewers[i].shown >= stamp;
        printf("%d\n", up_to_date);
    } else {
        printf("%zu %d %lld\n", noted, lost, (long long)keepalives);
        fwrite(notes, sizeof *notes, noted, stdout);
        noted = keepalives = 0;
    }
    fflush(stdout);
}

/* Commands come one at a time: the next when the one before was answered. */
static int command(void) {
    char line[64];
    ssize_t size = read(0, line, sizeof line - 1);
    if (size <= 0) return 0;
    line[size] = 0;
    answer(line);
    return 1;
}

static void load(const char *path) {
    FILE *file = must(fopen(path, "rb"));
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    char *text = must(malloc(size + 1));
    rewind(file);
    if (fread(text, 1, size, file) != (size_t)size) exit(1);
    text[size] = 0;
    for (long i = 0; i < size; i++) count += !text[i];
    viewers = must(calloc(count, sizeof *viewers));
    for (int i = 0; i < count; i++, text += strlen(text) + 1) viewers[i].request = text;
}

int main(int argc, char **argv) {
    struct epoll_event commands = {.events = EPOLLIN, .data.ptr = NULL}, events[BATCH];
    if (argc != 6) return 2;
    port = atoi(argv[1]);
    load(argv[2]);
    ready = argv[3];
    note_each = !strcmp(argv[4], "each");
    int at_once = atoi(argv[5]);
    if (strlen(ready) >= TAIL) return 2;
    poller = epoll_create1(0);
    epoll_ctl(poller, EPOLL_CTL_ADD, 0, &commands);
    began = now();
    for (;;) {
        while (opened < count && connecting < at_once) open_one(&viewers[opened++]);
        if (!announced && live + refused >= count) {
            printf("%d %d %lld\n", live, refused, (long long)(now() - began));
            fflush(stdout);
            announced = 1;
        }
        int some = epoll_wait(poller, events, BATCH, -1);
        for (int i = 0; i < some; i++) {
            struct viewer *v = events[i].data.ptr;
            if (!v) {
                if (!command()) return 0;
            } else if (v->state == CONNECTING) {
                ask(v);
            } else if (v->state != GONE) {
                receive(v);
            }
        }
    }
}
