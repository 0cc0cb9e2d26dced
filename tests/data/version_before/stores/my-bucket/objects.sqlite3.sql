BEGIN TRANSACTION;
CREATE TABLE clock (one INTEGER PRIMARY KEY CHECK (one = 1), last INTEGER NOT NULL);
INSERT INTO "clock" VALUES(1,1795866423834146);
CREATE TABLE objects (
  name TEXT PRIMARY KEY, size INTEGER NOT NULL, generation INTEGER NOT NULL, crc32c TEXT NOT NULL,
  content_type TEXT NOT NULL, updated TEXT NOT NULL, blob TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "objects" VALUES('anime_dance/characters/ai_hoshino.png',482,1795866423832622,'vNzhDw==','image/png','2026-11-28T11:47:03.832Z','c2b8e7a62e6e48f98d2975fa4097d7bd-characters_ai_hoshino.png');
INSERT INTO "objects" VALUES('anime_dance/characters/rem.png',100,1795866423315254,'f84VoQ==','image/png','2026-11-28T11:47:03.315Z','937bf29f0d3d407d8db887edd29b0631-characters_rem.png');
INSERT INTO "objects" VALUES('anime_dance/remixes/ai_hoshino_x/result/[kpop]_x.mp4',40,1795866423834146,'915PZA==','video/mp4','2026-11-28T11:47:03.834Z','eb5f4325086d47618beb61bb65c7e760-remixes_ai_hoshino_x_result_kpop__x.mp4');
COMMIT;
PRAGMA user_version = 1;
PRAGMA application_id = 0;
