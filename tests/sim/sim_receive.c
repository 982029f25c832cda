/*
 * sim_receive: the simulator of receiving and storing, and of sending.
 *
 *	sim_receive --seed N [--runs M]		M runs from seed N on; its mishaps follow from each
 *seed
 *	sim_receive --seed N --every-sync	the power goes at every sync of the seed's calm run,
 *in three ways sim_receive --seed N --cut K:HOW	one of these: HOW is drop, tear or after
 *	--relay		with queue, relay and the servers of others
 *	--kills		only roles are killed: the power stays, the disk works
 *
 * --twice makes each run twice and compares. --verbose says what happens. Exit code 1 at the first
 *failure; how to replay is said.
 */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "base/map.h"
#include "base/num.h"
#include "sim.h"

enum { PROGRESS_RUNS = 100 };

static const char *const cut_names[] = {
    [SIM_CUT_DROP] = "drop", [SIM_CUT_TEAR] = "tear", [SIM_CUT_AFTER] = "after"};

struct args {
	struct sim_plan plan;
	uint64_t runs;
	bool is_every_sync, is_twice;
};

struct sum {
	uint64_t runs, messages, acknowledged, power_cuts, kills, faults, verified;
	uint64_t relayed, repeated, bounced;
};

static void
say_replay(const struct sim_plan *p)
{
	fprintf(stderr, "replay: sim_receive --verbose%s%s --seed %llu",
	    p->is_relay ? " --relay" : "", p->is_kills_only ? " --kills" : "",
	    (unsigned long long)p->seed);
	if (p->cut_sync != 0)
		fprintf(
		    stderr, " --cut %llu:%s", (unsigned long long)p->cut_sync, cut_names[p->cut]);
	fputc('\n', stderr);
}

static bool
run(const struct sim_plan *plan, bool is_twice, struct sum *sum, struct sim_result *result_out)
{
	struct sim_result r = sim_run(plan);

	if (r.is_good && is_twice) {
		struct sim_result again = sim_run(plan);
		if (again.hash != r.hash) {
			fprintf(stderr, "seed %llu: two runs differ: %016llx, %016llx\n",
			    (unsigned long long)plan->seed, (unsigned long long)r.hash,
			    (unsigned long long)again.hash);
			r.is_good = false;
		}
	}
	sum->runs++;
	sum->messages += r.messages;
	sum->acknowledged += r.acknowledged;
	sum->power_cuts += r.power_cuts;
	sum->kills += r.kills;
	sum->faults += r.faults;
	sum->verified += r.verified;
	sum->relayed += r.relayed;
	sum->repeated += r.repeated;
	sum->bounced += r.bounced;
	if (!r.is_good)
		say_replay(plan);
	else if (plan->is_verbose)
		fprintf(stderr, "seed %llu: hash %016llx\n", (unsigned long long)plan->seed,
		    (unsigned long long)r.hash);
	if (result_out != NULL)
		*result_out = r;
	return r.is_good;
}

static bool
run_seeds(const struct args *a, struct sum *sum)
{
	struct sim_plan plan = a->plan;

	for (uint64_t i = 0; i < a->runs; i++, plan.seed++) {
		if (!run(&plan, a->is_twice, sum, NULL))
			return false;
		if ((i + 1) % PROGRESS_RUNS == 0)
			printf("%llu runs\n", (unsigned long long)(i + 1));
	}
	return true;
}

static bool
run_every_sync(const struct args *a, struct sum *sum)
{
	struct sim_plan plan = a->plan;

	for (uint64_t i = 0; i < a->runs; i++, plan.seed++) {
		struct sim_result calm;
		plan.cut_sync = 0;
		plan.is_calm = true;
		if (!run(&plan, a->is_twice, sum, &calm))
			return false;
		plan.is_calm = false;
		for (plan.cut_sync = 1; plan.cut_sync <= calm.syncs; plan.cut_sync++)
			for (unsigned how = SIM_CUT_DROP; how <= SIM_CUT_AFTER; how++) {
				plan.cut = (enum sim_cut)how;
				if (!run(&plan, a->is_twice, sum, NULL))
					return false;
			}
		printf("seed %llu: cut at each of %llu syncs\n", (unsigned long long)plan.seed,
		    (unsigned long long)calm.syncs);
	}
	return true;
}

static bool
cut_parse(const char *text, struct sim_plan *plan)
{
	char *end;

	plan->cut_sync = strtoull(text, &end, 10);
	for (unsigned how = 0; *end == ':' && how < COUNT_OF(cut_names); how++)
		if (strcmp(end + 1, cut_names[how]) == 0) {
			plan->cut = (enum sim_cut)how;
			return plan->cut_sync != 0;
		}
	return false;
}

static bool
args_parse(int argc, char **argv, struct args *a)
{
	static const struct option options[] = {{"seed", required_argument, NULL, 's'},
	    {"runs", required_argument, NULL, 'r'}, {"cut", required_argument, NULL, 'c'},
	    {"every-sync", no_argument, NULL, 'e'}, {"twice", no_argument, NULL, 't'},
	    {"verbose", no_argument, NULL, 'v'}, {"relay", no_argument, NULL, 'y'},
	    {"kills", no_argument, NULL, 'k'}, {NULL, 0, NULL, 0}};
	int o;

	*a = (struct args){.plan.seed = 1, .runs = 1};
	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o == 's')
			a->plan.seed = strtoull(optarg, NULL, 10);
		else if (o == 'r')
			a->runs = strtoull(optarg, NULL, 10);
		else if (o == 'c' && !cut_parse(optarg, &a->plan))
			return false;
		else if (o == '?')
			return false;
		a->is_every_sync |= o == 'e';
		a->is_twice |= o == 't';
		a->plan.is_verbose |= o == 'v';
		a->plan.is_relay |= o == 'y';
		a->plan.is_kills_only |= o == 'k';
	}
	return optind == argc;
}

int
main(int argc, char **argv)
{
	static struct clock clock;
	struct args a;
	struct sum sum = {0};
	bool is_good;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!args_parse(argc, argv, &a)) {
		fprintf(stderr, "usage: sim_receive [--relay] [--kills] [--seed N] [--runs N] "
				"[--every-sync | --cut "
				"K:drop|tear|after] [--twice] [--verbose]\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	map_seed(1, 2);
	clock_init_fake(&clock, 0);
	log_setup("sim", a.plan.is_verbose ? 2 : open("/dev/null", O_WRONLY | O_CLOEXEC), LOG_ERROR,
	    LOG_TEXT, &clock);
	printf("seed %llu\n", (unsigned long long)a.plan.seed);
	is_good = a.is_every_sync ? run_every_sync(&a, &sum) : run_seeds(&a, &sum);
	printf("%llu runs, %llu power cuts, %llu kills, %llu disk errors; %llu messages, %llu "
	       "acknowledged; %llu verifications\n",
	    (unsigned long long)sum.runs, (unsigned long long)sum.power_cuts,
	    (unsigned long long)sum.kills, (unsigned long long)sum.faults,
	    (unsigned long long)sum.messages, (unsigned long long)sum.acknowledged,
	    (unsigned long long)sum.verified);
	if (a.plan.is_relay)
		printf("%llu recipients sent, %llu of them again, %llu told to have failed\n",
		    (unsigned long long)sum.relayed, (unsigned long long)sum.repeated,
		    (unsigned long long)sum.bounced);
	return is_good ? 0 : 1;
}
