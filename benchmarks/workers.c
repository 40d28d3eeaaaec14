/* Workers for load: each has a connection of its own, and they publish the events of their jobs.

   Usage: workers PORT CONNECTIONS ANSWERS TEMPLATES

   TEMPLATES is a file with what publishes an event of a job, job after job, a NUL after each. A run of
   one of the bytes 1 to 4 in it is a place for so many digits: 1 the monotonic clock in nanoseconds
   when the event is sent, 2 its progress, 3 how many events of the job came before, 4 one more. ANSWERS
   is what comes back: "resp", "http", or "none". Jobs publish in turn; a job is always of the same
   worker.

   When all have connected it prints "CONNECTIONS". Then it answers lines:
   "pace EVENTS PER_S"  publishes events at a mean rate, each by itself when it is due, the gaps between
                        them distributed exponentially, the same ones in every run of this program.
                        Answers "SENT ANSWERED REFUSED LATE_NS LAST_NS": LATE_NS is how late an event
                        was at the worst, LAST_NS the stamp of the last
   "rush MS ANSWERS"    for so many milliseconds, the first worker sends an event of every job in one
                        pipeline, waits for the answers, so many to each event, and so on.
                        Answers "SENT ANSWERED REFUSED TOOK_NS"
   and ends when there are no more. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <math.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S INT64_C(1000000000)

enum { PLACES = 8, BUFFER = 1 << 16, PATIENCE_S = 10, UNREAD = 8 };
enum kind { STAMP = 1, PROGRESS, PREVIOUS, NEXT };
enum answers { RESP, HTTP, NONE };

struct job {
    char *text;
    int size, places;
    struct place {
        enum kind kind;
        int at, width;
    } place[PLACES];
};

struct worker {
    int fd;
    int64_t unanswered;
    int64_t left, skip;          /* RESP: elements left of an answer, bytes left of a string */
    int in_line, sign, negative; /* RESP: within a line, its first character, its number is < 0 */
    int64_t number;
    int matched; /* HTTP: characters of a status line */
};

static struct job *jobs;
static struct worker *workers;
static int job_count, worker_count, kind_of_answers;
static int64_t sent, answered, refused, late, last;

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * NS_PER_S + t.tv_nsec;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void *must(void *memory) {
    if (!memory) fail("memory");
    return memory;
}

/* From 0 to 1, 0 excluded: Steele, Lea and Flood's SplitMix64 from a fixed seed. */
static double chance(void) {
    static uint64_t state = 1;
    uint64_t x = state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return ((double)((x ^ (x >> 31)) >> 11) + 1) / (double)(UINT64_C(1) << 53);
}

static void answer(struct worker *w, int is_refusal) {
    w->unanswered--;
    answered++;
    refused += is_refusal;
}

/* An answer is one element; an array is as many more as it says. */
static void end_of_line(struct worker *w) {
    int is_refusal = !w->left && w->sign == '-';
    int64_t number = w->negative ? 0 : w->number;
    if (!w->left) w->left = 1;
    w->left--;
    if (w->sign == '*') w->left += number;
    if (w->sign == '$' && !w->negative) w->skip = number + 2;
    if (!w->left) answer(w, is_refusal);
}

static void read_resp(struct worker *w, const char *at, const char *end) {
    while (at < end) {
        if (w->skip) {
            int64_t some = end - at < w->skip ? end - at : w->skip;
            at += some;
            w->skip -= some;
            continue;
        }
        char c = *at++;
        if (!w->in_line) {
            w->in_line = 1;
            w->sign = c;
            w->number = w->negative = 0;
        } else if (c == '\n') {
            w->in_line = 0;
            end_of_line(w);
        } else if (c == '-') {
            w->negative = 1;
        } else if (c >= '0' && c <= '9' && w->sign != '-' && w->sign != '+') {
            w->number = w->number * 10 + c - '0';
        }
    }
}

static void read_http(struct worker *w, const char *at, const char *end) {
    static const char status[] = "HTTP/1.1 ";
    for (; at < end; at++) {
        if (w->matched == sizeof status - 1) {
            answer(w, *at != '2');
            w->matched = 0;
        } else {
            w->matched = *at == status[w->matched] ? w->matched + 1 : *at == status[0];
        }
    }
}

/* Take what has come back; 0 if nothing did. */
static int take(struct worker *w, int flags) {
    static char buffer[BUFFER];
    ssize_t size = recv(w->fd, buffer, sizeof buffer, flags);
    if (!size) {
        fputs("a worker lost its connection\n", stderr);
        exit(1);
    }
    if (size < 0) return 0;
    if (kind_of_answers == RESP) read_resp(w, buffer, buffer + size);
    else read_http(w, buffer, buffer + size);
    return 1;
}

static void settle(struct worker *w) {
    while (w->unanswered > 0 && take(w, 0)) {}
}

static void put(char *at, int width, int64_t value) {
    for (; width--; value /= 10) at[width] = '0' + value % 10;
}

static void fill_in(struct job *job, int64_t turn) {
    for (int i = 0; i < job->places; i++) {
        int64_t values[] = {0, last, turn < 89 ? turn + 10 : 99, turn, turn + 1};
        put(job->text + job->place[i].at, job->place[i].width, values[job->place[i].kind]);
    }
}

static void publish(void) {
    int number = sent % job_count;
    struct job *job = &jobs[number];
    struct worker *w = &workers[number % worker_count];
    last = now();
    fill_in(job, sent / job_count);
    if (send(w->fd, job->text, job->size, MSG_NOSIGNAL) != job->size) fail("send");
    sent++;
    /* Each read costs: an answer may wait until there are some. */
    if (kind_of_answers != NONE && ++w->unanswered >= UNREAD) take(w, MSG_DONTWAIT);
}

static void sleep_until(int64_t time) {
    struct timespec until = {.tv_sec = time / NS_PER_S, .tv_nsec = time % NS_PER_S};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL)) {}
}

static void pace(int64_t events, double per_s) {
    double due = now();
    late = 0;
    while (events--) {
        due -= log(chance()) / per_s * NS_PER_S;
        if (now() < due) sleep_until(due);
        publish();
        if (last - due > late) late = last - due;
    }
    for (int i = 0; i < worker_count; i++) settle(&workers[i]);
    printf("%lld %lld %lld ", (long long)sent, (long long)answered, (long long)refused);
    printf("%lld %lld\n", (long long)late, (long long)last);
}

static void rush(int64_t ms, int answers) {
    struct worker *w = &workers[0];
    size_t size = 0;
    for (int i = 0; i < job_count; i++) size += jobs[i].size;
    char *pipeline = must(malloc(size));
    int64_t began = now(), until = began + ms * 1000000;
    while ((last = now()) < until) {
        char *end = pipeline;
        for (int i = 0; i < job_count; i++, sent++) {
            fill_in(&jobs[i], sent / job_count);
            end = mempcpy(end, jobs[i].text, jobs[i].size);
        }
        if (send(w->fd, pipeline, size, MSG_NOSIGNAL) != (ssize_t)size) fail("send");
        w->unanswered += (int64_t)job_count * answers;
        settle(w);
        if (w->unanswered) break;
    }
    free(pipeline);
    printf("%lld %lld %lld ", (long long)sent, (long long)answered, (long long)refused);
    printf("%lld\n", (long long)(now() - began));
}

static int connected(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval patience = {.tv_sec = PATIENCE_S};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (void *)&address, sizeof address)) fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

static void find_places(struct job *job) {
    for (int i = 0; i < job->size; i++) {
        if (job->text[i] < STAMP || job->text[i] > NEXT) continue;
        struct place place = {.kind = job->text[i], .at = i};
        while (job->text[i + 1] == job->text[place.at]) i++;
        place.width = i + 1 - place.at;
        if (job->places == PLACES) fail("places");
        job->place[job->places++] = place;
    }
}

static void load(const char *path) {
    FILE *file = must(fopen(path, "rb"));
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    char *text = must(malloc(size));
    rewind(file);
    if (fread(text, 1, size, file) != (size_t)size) fail(path);
    for (long i = 0; i < size; i++) job_count += !text[i];
    jobs = must(calloc(job_count, sizeof *jobs));
    for (int i = 0; i < job_count; i++) {
        jobs[i].text = text;
        jobs[i].size = strlen(text);
        find_places(&jobs[i]);
        text += jobs[i].size + 1;
    }
}

int main(int argc, char **argv) {
    char line[64];
    if (argc != 5) return 2;
    worker_count = atoi(argv[2]);
    kind_of_answers = !strcmp(argv[3], "resp") ? RESP : !strcmp(argv[3], "http") ? HTTP : NONE;
    load(argv[4]);
    if (worker_count < 1 || job_count < 1) return 2;
    workers = must(calloc(worker_count, sizeof *workers));
    for (int i = 0; i < worker_count; i++) workers[i].fd = connected(atoi(argv[1]));
    prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0); /* sleeps end 50 µs late otherwise */
    printf("%d\n", worker_count);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        long long amount;
        double rate;
        if (sscanf(line, "pace %lld %lf", &amount, &rate) == 2) pace(amount, rate);
        else if (sscanf(line, "rush %lld %lf", &amount, &rate) == 2) rush(amount, rate);
        else return 2;
        fflush(stdout);
    }
    return 0;
}
