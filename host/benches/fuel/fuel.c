#include <ctype.h>
#include <regex.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
typedef struct { char *p; uint32_t n; } str;
typedef struct { uint8_t tag; str text; str extra; } part;
typedef struct { str role; part *content; uint32_t contents; str calls; uint32_t id[3]; uint32_t name[3]; str extra; } message;
__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, size_t o, size_t a, size_t n) { (void)o; (void)a; return realloc(old, n); }
static uint32_t ret[64];
static const char *me[3] = {"fuel-c", "1.0.0", "Measures."};
__attribute__((export_name("cofferdam:hooks/plugin@0.2.0#describe"))) uint32_t *describe(void) {
  memset(ret, 0, sizeof ret);
  for (int i = 0; i < 3; i++) { ret[2 * i] = (uint32_t)me[i]; ret[2 * i + 1] = strlen(me[i]); }
  return ret;
}
static int count(regex_t *r, const char *text) {
  int found = 0; regmatch_t m;
  while (regexec(r, text, 1, &m, found ? REG_NOTBOL : 0) == 0 && m.rm_eo > 0) { found++; text += m.rm_eo; }
  return found;
}
__attribute__((export_name("cofferdam:hooks/pre-hook@0.2.0#on-request"))) uint32_t *on_request(char *q) {
  message *messages = *(message **)(q + 48); uint32_t n = *(uint32_t *)(q + 52);
  regex_t email, card;
  regcomp(&email, "[A-Za-z0-9._+-]+@[A-Za-z0-9-]+\\.[A-Za-z]+", REG_EXTENDED);
  regcomp(&card, "[0-9]{4}[ -][0-9]{4}[ -][0-9]{4}[ -][0-9]{4}", REG_EXTENDED);
  int emails = 0, cards = 0, words = 0;
  for (uint32_t i = 0; i < n; i++)
    for (uint32_t k = 0; k < messages[i].contents; k++) {
      part *of = &messages[i].content[k];
      if (of->tag != 0) continue;
      char *text = malloc(of->text.n + 1);
      for (uint32_t c = 0; c < of->text.n; c++) text[c] = tolower(of->text.p[c]);
      text[of->text.n] = 0;
      emails += count(&email, text); cards += count(&card, text); words++;
      for (char *c = text; *c; c++) words += *c == ' ';
      free(text);
    }
  static char said[64]; static part answer;
  memset(ret, 0, sizeof ret);
  answer.text.p = said; answer.text.n = snprintf(said, sizeof said, "%d %d %d", emails, cards, words);
  ret[1] = 1; ret[2] = (uint32_t)"assistant"; ret[3] = 9; ret[4] = (uint32_t)&answer; ret[5] = 1;
  return ret;
}
