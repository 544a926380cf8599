#include "plugins/judge/fold.hpp"

#include <algorithm>
#include <array>
#include <string_view>

namespace assay::judge {
namespace {

struct Range {
  char32_t first, last;
};

constexpr std::array kInvisible = {
    Range{0x00, 0x08},       Range{0x0B, 0x0C},       Range{0x0E, 0x1F},     Range{0x7F, 0x9F},
    Range{0xAD, 0xAD},       Range{0x34F, 0x34F},     Range{0x61C, 0x61C},   Range{0x115F, 0x1160},
    Range{0x17B4, 0x17B5},   Range{0x180B, 0x180F},   Range{0x200B, 0x200F}, Range{0x2028, 0x202E},
    Range{0x2060, 0x206F},   Range{0x2800, 0x2800},   Range{0x3164, 0x3164}, Range{0xFE00, 0xFE0F},
    Range{0xFEFF, 0xFEFF},   Range{0xFFA0, 0xFFA0},   Range{0xFFF0, 0xFFFB}, Range{0x1BCA0, 0x1BCA3},
    Range{0x1D173, 0x1D17A}, Range{0xE0000, 0xE0FFF},
};

constexpr std::array kCombining = {Range{0x300, 0x36F},   Range{0x483, 0x489},   Range{0x1AB0, 0x1AFF},
                                   Range{0x1DC0, 0x1DFF}, Range{0x20D0, 0x20FF}, Range{0xFE20, 0xFE2F}};

template <size_t N>
bool within(const std::array<Range, N>& ranges, char32_t c) {
  return std::ranges::any_of(ranges, [c](Range r) { return c >= r.first && c <= r.last; });
}

/// Characters that look like `ascii`.
struct Look {
  char ascii;
  std::u32string_view alike;
};
constexpr std::array kLooks = {
    Look{'<', U"‹〈⟨〈＜˂ᐸ❮❰⟪《≪«≺⧼﹤ᚲ𝈶"},
    Look{'>', U"›〉⟩〉＞˃ᐳ❯❱⟫》≫»≻⧽﹥"},
    Look{'[', U"［【〔❲⟦〚⁅﹝〖"},
    Look{']', U"］】〕❳⟧〛⁆﹞〗"},
    Look{'|', U"｜│┃¦∣ǀ▏▕❘❙⏐ⵏ︱"},
    Look{'/', U"／∕⁄⧸╱⟋〳ノ"},
    Look{'_', U"＿▁‗ˍ﹍﹎﹏"},
    Look{'-', U"‐‑‒–—―−﹣－⁃"},
    Look{':', U"∶꞉ː：︓﹕ⵓ"},
    Look{'=', U"＝﹦═꞊"},
    Look{'"', U"“”„‟″〝〞〟＂"},
    Look{'\'', U"‘’‚‛′＇ʼ"},
    Look{'a', U"аАɑαΑᴀ"},
    Look{'b', U"ЬВΒƄᏏв"},
    Look{'c', U"сСϲⅽᴄ"},
    Look{'d', U"ԁɗⅾᏧԀ"},
    Look{'e', U"еЕєёЁΕε℮ᴇ"},
    Look{'g', U"ɡցԌɢ"},
    Look{'h', U"һհНΗн"},
    Look{'i', U"іІїιΙıⅰӏɩ"},
    Look{'j', U"јЈϳᴊ"},
    Look{'k', U"кКκΚᴋ"},
    Look{'l', U"ⅼʟ"},
    Look{'m', U"мМΜⅿᴍ"},
    Look{'n', U"ոΝпɴ"},
    Look{'o', U"оОοΟօ௦ᴏ"},
    Look{'p', U"рРρΡᴘ"},
    Look{'q', U"ԛգ"},
    Look{'r', U"гᴦʀ"},
    Look{'s', U"ѕЅꜱ"},
    Look{'t', U"тТτΤᴛ"},
    Look{'u', U"υսцᴜ"},
    Look{'v', U"νѵⅴᴠ"},
    Look{'w', U"ԝωшᴡ"},
    Look{'x', U"хХχΧⅹ"},
    Look{'y', U"уУγΥүʏ"},
    Look{'z', U"ᴢΖ"},
};

/// Digits beyond ASCII by where their 0 (or 1) stands: Arabic, of India, raised, circled, in parentheses, …
struct Digits {
  char32_t first;
  char32_t value;
};
constexpr std::array kDigits = {
    Digits{0x660, 0},  Digits{0x6F0, 0},  Digits{0x7C0, 0},  Digits{0x966, 0},  Digits{0x9E6, 0},
    Digits{0xE50, 0},  Digits{0x2070, 0}, Digits{0x2080, 0}, Digits{0x2460, 1}, Digits{0x2474, 1},
    Digits{0x2488, 1}, Digits{0x24F5, 1}, Digits{0x2776, 1}, Digits{0x2780, 1}, Digits{0x278A, 1},
};

/// 0 for what is no digit.
char32_t plain_digit(char32_t c) {
  if (c == 0xB9) return U'1';
  if (c == 0xB2 || c == 0xB3) return U'2' + (c - 0xB2);
  if (c == 0x24EA || c == 0x24FF) return U'0';
  for (const Digits& digits : kDigits) {
    if (c >= digits.first && c <= digits.first + 9 - digits.value)
      return U'0' + digits.value + (c - digits.first);
  }
  return 0;
}

char32_t plain(char32_t c) {
  if (c >= 0xFF01 && c <= 0xFF5E) return c - 0xFEE0;                   // fullwidth
  if (c >= 0x1D400 && c <= 0x1D6A3) return U'a' + (c - 0x1D400) % 26;  // mathematical letters
  if (c >= 0x1D7CE && c <= 0x1D7FF) return U'0' + (c - 0x1D7CE) % 10;  // mathematical digits
  if (const char32_t digit = plain_digit(c); digit != 0) return digit;
  if (c >= 0x24B6 && c <= 0x24E9) return U'a' + (c - 0x24B6) % 26;  // circled
  if (c >= 0x249C && c <= 0x24B5) return U'a' + (c - 0x249C);       // in parentheses
  if (c >= 0x1F110 && c <= 0x1F189 && (c - 0x1F110) % 32 < 26) return U'a' + (c - 0x1F110) % 32;  // squared
  if (c >= 0x1F1E6 && c <= 0x1F1FF) return U'a' + (c - 0x1F1E6);                                  // of flags
  if (c == 0x3000 || c == 0xA0 || (c >= 0x2000 && c <= 0x200A) || c == 0x202F || c == 0x205F) return U' ';
  return c;
}

}  // namespace

bool is_invisible(char32_t c) noexcept {
  return within(kInvisible, c);
}
bool is_combining(char32_t c) noexcept {
  return within(kCombining, c);
}

char fold(char32_t c) noexcept {
  const char32_t simple = plain(c);
  if (simple >= U'A' && simple <= U'Z') return static_cast<char>(simple - U'A' + U'a');
  if (simple < 0x80) return static_cast<char>(simple);
  for (const Look& look : kLooks) {
    if (look.alike.find(simple) != std::u32string_view::npos) return look.ascii;
  }
  return '\1';
}

}  // namespace assay::judge
