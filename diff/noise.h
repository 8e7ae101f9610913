/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * noise.h - where the filter pair differs, how far that reaches, and what others may have there.
 *
 * Two texts of the pair are walked side by side, position by position. Positions hang together in spans: a word is one
 * span with every difference in it, because a random token of the pair agrees in some places by chance; differing bytes
 * that no word is made of are a span of their own. A span in which the pair differs is noise. What another instance has
 * there must have the form that the pair shows: the narrowest class of bytes that holds everything both of the pair
 * have in the span.
 *
 * Words are made of letters, digits, '-' and '_'. Where the pair differs, the other bytes of base64, of URLs and of
 * numbers
 * (+ / = . ~ %) belong to a word too; where it agrees they separate words, so that a token in a path does not make
 * noise of the path.
 */
#ifndef RDDR_NOISE_H
#define RDDR_NOISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a position is, by the two bytes that the pair has there. */
enum noise_place {
	NOISE_APART,	/* they agree, and it is no part of a word; also: nothing lies before */
	NOISE_WORD,	/* they agree on a byte of a word */
	NOISE_TOKEN,	/* they differ, both as tokens may */
	NOISE_ANYTHING, /* they differ otherwise */
};

/* Each holds the ones before it, but for the two kinds of hexadecimal digits. */
enum noise_class {
	NOISE_CLASS_DIGITS,
	NOISE_CLASS_LOWER_HEX,
	NOISE_CLASS_UPPER_HEX,
	NOISE_CLASS_ALNUM,
	NOISE_CLASS_TOKEN, /* letters, digits and - _ + / = . ~ % */
	NOISE_CLASS_PRINTABLE,
	NOISE_CLASS_ANY,
	NOISE_CLASSES
};

/* Walks the pair. Zeroed: at the beginning. */
struct noise_walk {
	enum noise_place last; /* the position before */
	uint16_t shown;	       /* kinds of bytes that the pair showed in this span so far */
	bool noisy;	       /* the pair differed in this span */
};

enum noise_place rddr_noise_place(uint8_t a, uint8_t b);

/* Whether a position of that kind goes on with the span that the walk stands in. */
bool rddr_noise_goes_on(const struct noise_walk *walk, enum noise_place next);

/* Walks over one position, on in the span or into a new one. */
void rddr_noise_step(struct noise_walk *walk, uint8_t a, uint8_t b);

/*
 * Walks over text that the pair agrees on. Looks at no more of it than the word at its end, and of that at no more than
 * the class hangs on: the walk is as good as one that steps over every byte, not the same to the bit.
 */
void rddr_noise_pass(struct noise_walk *walk, const uint8_t *text, size_t len);

/*
 * The class of what the pair showed in the span so far. It grows as the walk goes on, never shrinks. Few bytes of a
 * random token show only few of its kinds, so letters of both cases are taken for a token; '-' and '_' that the pair
 * agrees on between digits are separators.
 */
enum noise_class rddr_noise_class(const struct noise_walk *walk);

/* Whether another instance may have byte c where the pair has a and b, in a noisy span of that class. What a word
 * surely does not hold is refused where the pair agrees, whatever the class. */
bool rddr_noise_fits(enum noise_class class, uint8_t a, uint8_t b, uint8_t c);

/* Whether c can fit at all there, however the span goes on. */
bool rddr_noise_may_fit(uint8_t a, uint8_t b, uint8_t c);

/* Adds a byte to what a span showed, whatever lies beside it. */
void rddr_noise_show(struct noise_walk *walk, uint8_t c);

/* Whether the class holds the byte. */
bool rddr_noise_holds(enum noise_class class, uint8_t c);

/* Letters, digits, - and _. */
bool rddr_noise_is_word(uint8_t c);

/* Those and + / = . ~ %. */
bool rddr_noise_is_token(uint8_t c);

/* "digits", "lower-case hex", ... */
const char *rddr_noise_class_name(enum noise_class class);

/* Bytes that a and b have alike before they first differ; len where they do not. */
size_t rddr_noise_alike(const uint8_t *a, const uint8_t *b, size_t len);

#endif
