#include "config/nearest.h"

#include "base/num.h"
#include "config/limits.h"

size_t
nearest_distance(struct str a, struct str b)
{
	/* Three rolling rows: the one before the last knows what a transposition costs. */
	size_t row[3][NEAREST_WORD_BYTES_MAX + 1];

	if (a.n > NEAREST_WORD_BYTES_MAX || b.n > NEAREST_WORD_BYTES_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= b.n; j++)
		row[0][j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		size_t *now = row[i % 3], *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];

		now[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			char ca = char_lower(a.p[i - 1]), cb = char_lower(b.p[j - 1]);
			size_t best = last[j - 1] + (ca != cb);

			best = size_min(best, size_min(last[j], now[j - 1]) + 1);
			if (i > 1 && j > 1 && ca == char_lower(b.p[j - 2]) &&
			    cb == char_lower(a.p[i - 2]))
				best = size_min(best, before[j - 2] + 1);
			now[j] = best;
		}
	}
	return row[a.n % 3][b.n];
}

void
nearest_init(struct nearest *near, struct str word)
{
	*near = (struct nearest){.word = word, .best_distance = SIZE_MAX};
}

void
nearest_offer(struct nearest *near, struct str candidate)
{
	size_t d = nearest_distance(near->word, candidate);

	if (d < near->best_distance) {
		near->best = candidate;
		near->best_distance = d;
	}
}

struct str
nearest_result(const struct nearest *near)
{
	size_t longer = size_max(near->word.n, near->best.n);

	if (near->best_distance > (longer + 1) / 3)
		return STR_NULL;
	return near->best;
}
