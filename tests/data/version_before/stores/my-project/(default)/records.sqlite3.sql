BEGIN TRANSACTION;
CREATE TABLE clock (one INTEGER PRIMARY KEY CHECK (one = 1), last INTEGER NOT NULL);
INSERT INTO "clock" VALUES(1,1795866423837910);
CREATE TABLE documents (
  collection TEXT NOT NULL, id TEXT NOT NULL, fields TEXT NOT NULL, updated INTEGER NOT NULL,
  PRIMARY KEY (collection, id)
) WITHOUT ROWID;
INSERT INTO "documents" VALUES('characters','ai_hoshino','{"name": "Ai", "assets": [{"title": "primary", "anime_image": "gs://my-bucket/anime_dance/characters/ai_hoshino.png", "kpop_video": "gs://my-bucket/anime_dance/remixes/ai_hoshino_x/result/[kpop]_x.mp4"}]}',1795866423837910);
INSERT INTO "documents" VALUES('characters','miku','{"name": "Miku", "assets": [{"title": "primary", "anime_image": "C:\\oo\\bar\\output\\characters\\miku.png"}]}',1795866423322675);
INSERT INTO "documents" VALUES('characters','rem','{"name": "Rem", "assets": [{"title": "primary", "anime_image": "gs://my-bucket/anime_dance/characters/rem.png"}]}',1795866423320839);
COMMIT;
PRAGMA user_version = 1;
PRAGMA application_id = 0;
